// Package tree packs folders of containers into tars, and unpacks these again.
package tree

// Of https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)
