//go:debug multipathtcp=0

// Command page-writer is what tests of pre-copy dump: it writes to its memory all the time, and knows what each page
// has to hold. A page that is restored as it was in an earlier round is found.
package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const page = 4096

// filled returns what a page holds after so many writes.
func filled(index, version uint32) [page]byte {
	var content [page]byte
	source := rand.New(rand.NewPCG(uint64(index), uint64(version)))
	for at := 0; at < page; at += 8 {
		binary.LittleEndian.PutUint64(content[at:], source.Uint64())
	}
	return content
}

type memory struct {
	sync.Mutex
	pages    []byte
	versions []uint32
	writes   int
}

func (m *memory) write(index uint32) {
	m.versions[index]++
	content := filled(index, m.versions[index])
	copy(m.pages[int(index)*page:], content[:])
	m.writes++
}

// remap gives an area back to the kernel and takes a new one at the same address: none of its pages is in an earlier round.
func (m *memory) remap(first, count uint32) error {
	area := m.pages[int(first)*page : int(first+count)*page]
	if err := syscall.Madvise(area, syscall.MADV_DONTNEED); err != nil {
		return err
	}
	for index := first; index < first+count; index++ {
		m.write(index)
	}
	return nil
}

func (m *memory) bad() int {
	bad := 0
	for index, version := range m.versions {
		content := filled(uint32(index), version)
		if string(m.pages[index*page:(index+1)*page]) != string(content[:]) {
			bad++
		}
	}
	return bad
}

// usage: page-writer ADDRESS MIB PAGES-PER-SECOND
func main() {
	mebibytes, perSecond := number(2), number(3)
	pages, err := syscall.Mmap(-1, 0, mebibytes<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		panic(err)
	}
	m := &memory{pages: pages, versions: make([]uint32, len(pages)/page)}
	for index := range m.versions {
		m.write(uint32(index))
	}
	go func() {
		// All writes are to the first quarter, and to an area of 16 pages after it.
		hot := uint32(len(m.versions) / 4)
		for range time.Tick(100 * time.Millisecond) {
			m.Lock()
			for range perSecond / 10 {
				m.write(rand.Uint32N(hot))
			}
			if err := m.remap(hot, 16); err != nil {
				panic(err)
			}
			m.Unlock()
		}
	}()
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Connection", "close")
		m.Lock()
		defer m.Unlock()
		fmt.Fprintf(response, "pages=%d writes=%d bad=%d\n", len(m.versions), m.writes, m.bad())
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}

func number(argument int) int {
	value, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		panic(err)
	}
	return value
}
