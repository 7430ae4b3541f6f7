package transfer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sort"
	"sync"
	"syscall"
)

const (
	// Files and folders together.
	maxEntries = 100_000
	// Of all files together; their list is as long.
	maxNamesBytes = 16 << 20
)

// tooLargeError is for a dump that is larger than it may be.
type tooLargeError struct{ maxBytes int64 }

func (e tooLargeError) Error() string {
	return fmt.Sprintf("the dump is larger than %d bytes", e.maxBytes)
}

// receivedFile is what came of a file so far, in any order.
type receivedFile struct {
	parts []string
	// Of each piece, by its number.
	crcs map[int64]uint32
	// Known when its last piece has come, unless that is a whole one; else negative.
	sizeBytes int64
}

// fileTold describes a file that was received as a whole.
type fileTold struct {
	Name      string `json:"name"`
	SizeBytes int64  `json:"sizeBytes"`
	// Of the CRC-32s of its pieces.
	CRC uint32 `json:"crc"`
}

// written are the files below a folder that the source sends. Nothing outside of the folder is made, and nothing that is
// there is written over.
type written struct {
	root     int
	maxBytes int64

	mutex     sync.Mutex
	files     map[string]*receivedFile
	bytes     int64
	entries   int
	nameBytes int
}

func newWritten(folder string, maxBytes int64) (*written, error) {
	root, err := openFolder(folder)
	if err != nil {
		return nil, err
	}
	return &written{root: root, maxBytes: maxBytes, files: map[string]*receivedFile{}}, nil
}

func (w *written) close() {
	syscall.Close(w.root)
}

func (w *written) receivedBytes() int64 {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.bytes
}

// write puts a piece where it belongs. Pieces of one file may come from several connections at the same time.
func (w *written) write(h header, content []byte) error {
	if crc32.ChecksumIEEE(content) != h.crc {
		return fmt.Errorf("bytes of %s at %d were changed on their way", h.name, h.offset)
	}
	file, err := w.place(h)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(content, h.offset); err != nil {
		return err
	}
	return file.Close()
}

// place notes a piece and opens its file, which the first one makes.
func (w *written) place(h header) (*os.File, error) {
	w.mutex.Lock()
	file, isNew, err := w.note(h)
	if err != nil || !isNew {
		w.mutex.Unlock()
		if err != nil {
			return nil, err
		}
		return openBelow(w.root, file.parts, syscall.O_WRONLY, nil)
	}
	defer w.mutex.Unlock()
	if err := w.another(); err != nil {
		return nil, err
	}
	return openBelow(w.root, file.parts, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, w.another)
}

func (w *written) another() error {
	w.entries++
	if w.entries > maxEntries {
		return fmt.Errorf("the source sent more than %d files and folders", maxEntries)
	}
	return nil
}

func (w *written) note(h header) (file *receivedFile, isNew bool, err error) {
	end := h.offset + int64(h.length)
	w.bytes += int64(h.length)
	if w.bytes > w.maxBytes || end > w.maxBytes {
		return nil, false, tooLargeError{w.maxBytes}
	}
	file, isKnown := w.files[h.name]
	if !isKnown {
		parts, err := partsOf(h.name)
		if err != nil {
			return nil, false, err
		}
		w.nameBytes += len(h.name)
		if w.nameBytes > maxNamesBytes {
			return nil, false, errors.New("the source sent too many names")
		}
		file = &receivedFile{parts: parts, crcs: map[int64]uint32{}, sizeBytes: -1}
		w.files[h.name] = file
	}
	number := h.offset / pieceBytes
	_, isTwice := file.crcs[number]
	isLast := h.length < pieceBytes
	switch {
	case h.offset%pieceBytes != 0:
		return nil, false, fmt.Errorf("the source sent bytes of %s at %d", h.name, h.offset)
	case isTwice:
		return nil, false, fmt.Errorf("the source sent bytes of %s at %d twice", h.name, h.offset)
	case h.length == 0 && h.offset != 0, isLast && file.sizeBytes >= 0:
		return nil, false, fmt.Errorf("the source sent bytes after the end of %s", h.name)
	}
	if isLast {
		file.sizeBytes = end
	}
	file.crcs[number] = h.crc
	return file, !isKnown, nil
}

// list describes all files, and is an error if something of one is missing.
func (w *written) list() ([]fileTold, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	told := make([]fileTold, 0, len(w.files))
	for name, file := range w.files {
		count := int64(len(file.crcs))
		size := file.sizeBytes
		if size < 0 {
			size = count * pieceBytes
		}
		// As many as that, each of which came once: these numbers and no others.
		if max(1, (size+pieceBytes-1)/pieceBytes) != count {
			return nil, fmt.Errorf("the source left bytes of %s out", name)
		}
		crcs := make([]byte, 4*count)
		for number, crc := range file.crcs {
			if number >= count {
				return nil, fmt.Errorf("the source left bytes of %s out", name)
			}
			binary.BigEndian.PutUint32(crcs[4*number:], crc)
		}
		told = append(told, fileTold{Name: name, SizeBytes: size, CRC: crc32.ChecksumIEEE(crcs)})
	}
	sort.Slice(told, func(a, b int) bool { return told[a].Name < told[b].Name })
	return told, nil
}

// isFull is for a file system that has no room left.
func isFull(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && (errors.Is(path.Err, syscall.ENOSPC) || errors.Is(path.Err, syscall.EDQUOT)) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
