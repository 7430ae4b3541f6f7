// Package transfer moves the files of a dump from the program of one node to that of another: in pieces, over several
// TLS connections at the same time. The node agents on both sides decide what is sent, where it is written and whether it
// counts; they speak with their program in lines of JSON.
package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	// Bytes of a file that are sent at once; only the last ones of a file are fewer.
	pieceBytes = 1 << 20
	// A connection begins with this byte and the id of its transfer, in clear. Nothing else that comes to the port of an
	// agent begins like that.
	preamble = 1
	idBytes  = 32
	// The answer; TLS begins after it, so that nobody before has read any of it.
	goAhead = 1
	// Container and path.
	maxNameBytes   = 4096
	headerBytes    = 2 + 4 + 8 + 4
	maxConnections = 16
)

// header announces a piece: bytes of a file at an offset.
type header struct {
	// The name of the container, and below its folder the path.
	name   string
	offset int64
	length int
	crc    uint32
}

// put writes the header to the beginning of the buffer, and gives its length.
func (h header) put(buffer []byte) int {
	binary.BigEndian.PutUint16(buffer, uint16(len(h.name)))
	binary.BigEndian.PutUint32(buffer[2:], uint32(h.length))
	binary.BigEndian.PutUint64(buffer[6:], uint64(h.offset))
	binary.BigEndian.PutUint32(buffer[14:], h.crc)
	return headerBytes + copy(buffer[headerBytes:], h.name)
}

// fixedHeader reads what comes before the name, and gives the length of the name.
func fixedHeader(buffer []byte) (header, int, error) {
	nameBytes := int(binary.BigEndian.Uint16(buffer))
	length := binary.BigEndian.Uint32(buffer[2:])
	offset := binary.BigEndian.Uint64(buffer[6:])
	if nameBytes == 0 || nameBytes > maxNameBytes || length > pieceBytes || offset > 1<<62 {
		return header{}, 0, errors.New("the source sent an invalid header")
	}
	return header{offset: int64(offset), length: int(length), crc: binary.BigEndian.Uint32(buffer[14:])}, nameBytes, nil
}

// isEnd is whether it is in the place of a header after the last piece: TLS in Go does not tell the end of a connection
// from one that somebody cut between two records.
func isEnd(fixed []byte) bool {
	return bytes.Equal(fixed, make([]byte, headerBytes))
}

var containerName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// More folders than that in one another are none of a dump.
const maxParts = 32

// partsOf gives the parts of the name of a file, none of which leads out of the folder.
func partsOf(name string) ([]string, error) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(parts) > maxParts || !containerName.MatchString(parts[0]) {
		return nil, fmt.Errorf("%q is not the name of a file of a dump", name)
	}
	for _, part := range parts[1:] {
		if part == "" || part == "." || part == ".." || bytes.IndexByte([]byte(part), 0) >= 0 {
			return nil, fmt.Errorf("%q is not the name of a file of a dump", name)
		}
	}
	return parts, nil
}
