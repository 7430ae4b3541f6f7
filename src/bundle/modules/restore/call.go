package main

import (
	"fmt"
	"regexp"
	"strings"
)

// call is what a runtime asked of runc, as far as it matters here.
type call struct {
	// Before the command, as they came.
	global  []string
	command string
	id      string

	log           string
	bundle        string
	pidFile       string
	consoleSocket string
	noPivot       bool
	// The first word of `create` that `restore` has no answer to.
	unsupported string
}

var (
	idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	// Of runc 1.4: flags with a value, and flags without.
	globalValues   = setOf("log", "log-format", "root", "criu", "rootless")
	globalSwitches = setOf("debug", "systemd-cgroup", "help", "h", "version", "v")
	createValues   = setOf("bundle", "b", "console-socket", "pid-file", "pidfd-socket", "preserve-fds")
)

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// parse reads the words after the program's name. A global flag that is not known could hide the command, so it is an
// error: what would be passed on unseen might be the start of a container that is to be restored.
func parse(words []string) (call, error) {
	var c call
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "-") {
			c.global, c.command = words[:i], word
			return c, c.parseRest(words[i+1:])
		}
		name, value, hasValue := splitFlag(word)
		switch {
		case globalValues[name]:
			if !hasValue && i+1 < len(words) {
				i++
				value = words[i]
			}
			if name == "log" {
				c.log = value
			}
		case !globalSwitches[name]:
			return c, fmt.Errorf("flag %s of runc is not known", word)
		}
	}
	return c, nil
}

func (c *call) parseRest(words []string) error {
	for i := 0; i < len(words); i++ {
		word := words[i]
		if !strings.HasPrefix(word, "-") {
			c.id = word
			continue
		}
		name, value, hasValue := splitFlag(word)
		if c.command == "create" && createValues[name] && !hasValue {
			if i+1 == len(words) {
				return fmt.Errorf("flag %s has no value", word)
			}
			i++
			value = words[i]
		}
		if c.command == "create" {
			c.take(word, name, value)
		}
	}
	return nil
}

func (c *call) take(word, name, value string) {
	switch name {
	case "bundle", "b":
		c.bundle = value
	case "pid-file":
		c.pidFile = value
	case "console-socket":
		c.consoleSocket = value
	case "no-pivot":
		c.noPivot = value != "false"
	case "preserve-fds":
		if value != "0" {
			c.unsupported = word
		}
	case "no-new-keyring":
		// A restored process keeps the keyring that it is given.
	default:
		c.unsupported = word
	}
}

func splitFlag(word string) (name, value string, hasValue bool) {
	return strings.Cut(strings.TrimLeft(word, "-"), "=")
}
