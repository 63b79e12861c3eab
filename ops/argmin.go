package ops

// ArgMin is the index of the smallest element along an axis; see arg.
//
// Source: ONNX ArgMin-1, -11, -12, -13.
func init() { registerArg("ArgMin", false) }
