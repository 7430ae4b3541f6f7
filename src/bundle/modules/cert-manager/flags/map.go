package flags

import (
	"fmt"
	"strconv"
	"strings"
)

// mapOf is a flag with names and booleans.
type mapOf struct{ values *map[string]bool }

func (m mapOf) String() string {
	if m.values == nil {
		return ""
	}
	return fmt.Sprint(*m.values)
}

func (m mapOf) Type() string { return "name=bool,..." }

func (m mapOf) Set(text string) error {
	if *m.values == nil {
		*m.values = map[string]bool{}
	}
	for _, pair := range strings.Split(text, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found {
			return fmt.Errorf("%q is not name=true or name=false", pair)
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is not name=true or name=false", pair)
		}
		(*m.values)[name] = on
	}
	return nil
}
