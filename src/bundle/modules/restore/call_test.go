package main

import (
	"reflect"
	"testing"
)

func TestTheWordsOfAShimAreRead(t *testing.T) {
	words := []string{
		"--root", "/run/runc", "--log=/b/log.json", "--log-format", "json", "--systemd-cgroup",
		"create", "--bundle", "/b", "--pid-file=/b/init.pid", "--console-socket", "/b/tty", "--no-pivot",
		"--no-new-keyring", "--preserve-fds", "0", "abc",
	}
	c, err := parse(words)
	if err != nil {
		t.Fatal(err)
	}
	want := call{
		global: words[:6], command: "create", id: "abc", log: "/b/log.json", bundle: "/b", pidFile: "/b/init.pid",
		consoleSocket: "/b/tty", noPivot: true,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v", c)
	}
}

func TestACommandIsNotHiddenByAFlag(t *testing.T) {
	for _, words := range [][]string{
		{"--new-flag", "x", "create", "abc"},
		{"--new-flag=x", "create", "abc"},
		{"create", "--bundle"},
	} {
		if _, err := parse(words); err == nil {
			t.Errorf("%v was taken", words)
		}
	}
}

func TestOtherCallsAreOnlyLookedAt(t *testing.T) {
	for command, words := range map[string][]string{
		"features": {"features"},
		"":         {"--version"},
		"exec":     {"--root", "/r", "exec", "--process", "/p", "--detach", "abc"},
		"delete":   {"--root", "/r", "delete", "--force", "abc"},
		"kill":     {"--root", "/r", "kill", "--all", "abc", "9"},
	} {
		c, err := parse(words)
		if err != nil || c.command != command {
			t.Errorf("%v: %q %v", words, c.command, err)
		}
	}
}

func TestWhatARestoreCannotDoIsRemembered(t *testing.T) {
	for _, flag := range []string{"--preserve-fds=3", "--pidfd-socket=/s", "--new-flag"} {
		c, err := parse([]string{"create", "--bundle", "/b", flag, "abc"})
		if err != nil || c.unsupported != flag {
			t.Errorf("%s: %q %v", flag, c.unsupported, err)
		}
	}
}

func TestAnswersAreTakenWholeOrNotAtAll(t *testing.T) {
	good := `{"version":1,"action":"restore","imageDir":"/var/lib/clouder/restore/a/b/checkpoint",` +
		`"workDir":"/var/lib/clouder/restore/a/b","deleted":[]}` + "\n"
	if _, err := readAnswer([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		"", "\n", "{", good[:40], good + good, "null", "[]", `"restore"`,
		`{"version":2,"action":"create"}`,
		`{"action":"create"}`,
		`{"version":1}`,
		`{"version":1,"action":"delete"}`,
		`{"version":1,"action":"create","more":1}`,
		`{"version":1,"action":"restore"}`,
		`{"version":1,"action":"restore","imageDir":"/var/lib/clouder/restore/a","workDir":"/tmp"}`,
		`{"version":1,"action":"restore","imageDir":"/var/lib/clouder/restore/../x","workDir":"/var/lib/clouder/restore/a"}`,
		`{"version":1,"action":"restore","imageDir":"/var/lib/clouder/restore/a","workDir":"/var/lib/clouder/restore/a","changes":"x.tar"}`,
	} {
		if a, err := readAnswer([]byte(text)); err == nil {
			t.Errorf("%q was taken as %+v", text, a)
		}
	}
}
