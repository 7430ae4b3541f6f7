package pages

import (
	"os"
	"os/exec"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("PAGE_SERVER") != "" {
		dumping()
	}
	if os.Getenv("ENTER_NODE") == "" {
		os.Exit(m.Run())
	}
	os.Stderr.WriteString(EnterNode(os.Args[1:]).Error())
	os.Exit(1)
}

func TestAProgramRunsInTheMountNamespaceOfTheFirstProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root enters namespaces")
	}
	node, err := os.Readlink("/proc/1/ns/mnt")
	if err != nil {
		t.Skip(err)
	}
	// Away from it first, as runc does.
	command := exec.Command("unshare", "--mount", os.Args[0], "--", "sh", "-c", "readlink /proc/self/ns/mnt; pwd")
	command.Env = append(os.Environ(), "ENTER_NODE=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	if want := node + "\n/\n"; string(out) != want {
		t.Errorf("%q instead of %q", out, want)
	}
}
