package main

import (
	"archive/tar"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestRandomArchivesStayInside makes archives of names, links and marks that belong together often enough to build
// ways out of several steps, and looks at what lies around the root file system after each.
func TestRandomArchivesStayInside(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 17))
	taken := 0
	for round := range 400 {
		c := newContainer(t)
		var entries []entry
		for range 1 + random.IntN(8) {
			entries = append(entries, randomEntry(random, c.dir))
		}
		deleted := []string{}
		if random.IntN(3) == 0 {
			deleted = append(deleted, randomName(random))
		}
		if c.apply(deleted, "", entries...) == nil {
			taken++
		}
		c.wantNodeAsItWas()
		if t.Failed() {
			t.Fatalf("round %d: %+v, deleted %v", round, entries, deleted)
		}
		os.RemoveAll(c.dir)
	}
	// Were all refused, nothing would have been tried.
	if taken < 40 {
		t.Errorf("only %d archives were taken", taken)
	}
}

func pick(random *rand.Rand, words ...string) string {
	return words[random.IntN(len(words))]
}

func randomName(random *rand.Rand) string {
	name := pick(random, "a", "b", "etc", "data", "lib", "up", "abs", ".wh.a", ".wh.secret", ".wh..wh..opq", ".")
	for random.IntN(2) == 0 {
		name = filepath.Join(pick(random, "a", "b", "data", "lib", "up", "abs"), name)
	}
	switch random.IntN(40) {
	case 0:
		return "/" + name
	case 1:
		return "../" + name
	}
	return name
}

func randomEntry(random *rand.Rand, outside string) entry {
	name := randomName(random)
	switch random.IntN(5) {
	case 0:
		return folder(name)
	case 1:
		return symlink(name, pick(random, "..", "../..", outside, "/", "a", "b", "../secret", filepath.Join(outside, "secret")))
	case 2:
		return hardLink(name, pick(random, "a", "b", "up/secret", "etc/passwd", "a/secret", "abs/secret"))
	case 3:
		return node(tar.TypeFifo, name, 0, 0)
	}
	return file(name, "x")
}
