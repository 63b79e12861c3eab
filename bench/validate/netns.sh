#!/usr/bin/env bash
# Checks predictions over a network that the kernel shapes: three network
# namespaces (device, edge and cloud) with a link between each two, whose rate
# "tc tbf" bounds, a worker in two of them, and "scission report --validate" in
# the third. Needs root and iproute2, and says so and ends well without.
#
#   bench/validate/netns.sh [-o DIR] MODEL... [flags of scission report]
#
# such as: bench/validate/netns.sh -o /tmp/netns zoo:mobilenetv2 --runs 5
set -eu -o pipefail

if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! command -v tc >/dev/null; then
	echo "skipped: network namespaces need root and iproute2 (ip, tc)"
	exit 0
fi
[ $# -gt 0 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }

# Mbit/s, both ways.
readonly DEVICE_EDGE=200 EDGE_CLOUD=400 DEVICE_CLOUD=100
readonly PORT=7070 QUEUE=400ms BURST=16kb
readonly NS=scission-$$
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
workers=()

cleanup() {
	[ ${#workers[@]} -eq 0 ] || kill "${workers[@]}" 2>/dev/null || true
	wait || true
	for host in device edge cloud; do ip netns del "$NS-$host" 2>/dev/null || true; done
	rm -rf "$work"
}
trap cleanup EXIT

(cd "$root" && CGO_ENABLED=0 go build -o "$work/scission" ./cmd/scission)

for host in device edge cloud; do
	ip netns add "$NS-$host" || { echo "skipped: network namespaces are not allowed here"; exit 0; }
	ip -n "$NS-$host" link set lo up
done

# link A B NET RATE: a link between two hosts, A as 10.77.NET.1 and B as .2.
link() {
	ip link add "s$$-$3a" netns "$NS-$1" type veth peer name "s$$-$3b" netns "$NS-$2"
	local end
	for end in "$1 a 1" "$2 b 2"; do
		set -- "$1" "$2" "$3" "$4" $end
		ip -n "$NS-$5" addr add "10.77.$3.$7/24" dev "s$$-$3$6"
		ip -n "$NS-$5" link set "s$$-$3$6" up
		tc -n "$NS-$5" qdisc add dev "s$$-$3$6" root tbf rate "$4mbit" burst "$BURST" latency "$QUEUE"
	done
}
link device edge 1 "$DEVICE_EDGE"
link edge cloud 2 "$EDGE_CLOUD"
link device cloud 3 "$DEVICE_CLOUD"

# on HOST COMMAND...: runs scission on a host.
on() {
	local host=$1
	shift
	ip netns exec "$NS-$host" "$work/scission" "$@"
}

# serve HOST FLAGS...: starts a worker and waits until it listens.
serve() {
	local host=$1
	shift
	: >"$work/$host.out"
	on "$host" serve --listen "0.0.0.0:$PORT" --name "$host" --store "$work/$host" --threads 1 --insecure "$@" >"$work/$host.out" 2>"$work/$host.log" &
	workers+=($!)
	for _ in $(seq 100); do
		grep -q listening "$work/$host.out" && return
		sleep 0.1
	done
	echo "worker $host does not listen:" >&2
	cat "$work/$host.log" >&2
	exit 1
}
serve cloud
serve edge --peer "cloud=10.77.2.2:$PORT"

on edge link "cloud=10.77.2.2:$PORT" --name edge --insecure -o "$work/network.json" >/dev/null
on device report "$@" --validate --threads 1 --insecure --network "$work/network.json" \
	--host "edge=10.77.1.2:$PORT" --host "cloud=10.77.3.2:$PORT" \
	--label "hosts are network namespaces of one machine; tc tbf bounds device–edge to $DEVICE_EDGE, edge–cloud to $EDGE_CLOUD, device–cloud to $DEVICE_CLOUD Mbit/s"
