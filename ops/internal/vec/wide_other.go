//go:build !amd64 || purego

package vec

func sumWideFast(acc *[wideParts]float64, x []float32) { sumWideGo(acc, x) }

func sumWide16Fast(acc *[wideParts * Lanes]float64, x []float32) { sumWide16Go(acc, x) }

func addWideFast(acc []float64, x []float32) { addWideGo(acc, x) }
