package tree

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrUnsuited: the file system is none that PackChanges can pack.
var ErrUnsuited = errors.New("cannot be packed")

// UpperOf gives the upper folder of the overlay that is mounted at a folder, as this process sees mounts. Returns
// ErrUnsuited when there is none, or one whose upper folder does not tell all that was changed.
func UpperOf(merged string) (string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	upper, found := "", false
	for lines.Scan() {
		// Of several mounts at one place the last one is seen.
		if at, options, isOverlay := readMount(lines.Text()); at == merged {
			upper, found = options["upperdir"], isOverlay
			if !isOverlay {
				continue
			}
			for _, name := range []string{"redirect_dir", "metacopy"} {
				if isOn(options, name) {
					return "", fmt.Errorf("%w: the overlay at %s has %s", ErrUnsuited, merged, name)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if !found || upper == "" {
		return "", fmt.Errorf("%w: no overlay with an upper folder is mounted at %s", ErrUnsuited, merged)
	}
	return upper, nil
}

// readMount reads a line of https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo.
func readMount(line string) (at string, options map[string]string, isOverlay bool) {
	before, after, _ := strings.Cut(line, " - ")
	fields, kinds := strings.Fields(before), strings.Fields(after)
	if len(fields) < 5 || len(kinds) < 3 {
		return "", nil, false
	}
	options = map[string]string{}
	for option := range strings.SplitSeq(kinds[2], ",") {
		name, value, _ := strings.Cut(option, "=")
		options[name] = unescaped(value)
	}
	return unescaped(fields[4]), options, kinds[0] == "overlay"
}

// isOn: an overlay shows an option only where it is another one than the kernel's default.
func isOn(options map[string]string, name string) bool {
	value, has := options[name]
	if !has {
		text, err := os.ReadFile("/sys/module/overlay/parameters/" + name)
		if err != nil {
			return false
		}
		value = strings.TrimSpace(string(text))
	}
	return value == "on" || value == "Y"
}

// unescaped reads \040 and the like.
func unescaped(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}
