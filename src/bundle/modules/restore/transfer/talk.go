package transfer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// talk writes lines for the node agent, of several goroutines.
type talk struct {
	mutex sync.Mutex
	out   io.Writer
}

func (t *talk) tell(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	_, err = t.out.Write(append(line, '\n'))
	return err
}

// listen reads one command per line until the end of the input, which is an error: the agent has ended, or gave up.
func listen[T any](in io.Reader, on func(T) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		var command T
		if err := json.Unmarshal(lines.Bytes(), &command); err != nil {
			return fmt.Errorf("a command is invalid: %w", err)
		}
		if err := on(command); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

type pinTold struct {
	Pin string `json:"pin"`
}
