package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

const (
	// The kubelet gives a runtime two minutes.
	answerTimeout = 110 * time.Second
	// The container runs already: nobody waits for a node agent that is away.
	noteTimeout    = time.Second
	maxAnswerBytes = 64 << 20
)

// request and answer are of src/api/handler-protocol.ts.
type request struct {
	Version    int    `json:"version"`
	ID         string `json:"id"`
	Bundle     string `json:"bundle"`
	Namespace  string `json:"namespace"`
	Pod        string `json:"pod"`
	PodUID     string `json:"podUid"`
	Container  string `json:"container"`
	Checkpoint string `json:"checkpoint"`
	// Absent: the agent is asked; "restored": it is told.
	Event string `json:"event,omitempty"`
}

type answer struct {
	Version  int      `json:"version"`
	Action   string   `json:"action"`
	ImageDir string   `json:"imageDir"`
	WorkDir  string   `json:"workDir"`
	Changes  string   `json:"changes"`
	Deleted  []string `json:"deleted"`
	Volumes  []volume `json:"volumes"`
	Pages    *pages   `json:"pages"`
	Message  string   `json:"message"`
}

// pages is how the memory of a container comes after its processes run.
type pages struct {
	// Of the node agent: the connection to the page server of the source.
	Socket string `json:"socket"`
	// A file that tells how far it is: one of the states in lazy.go.
	State string `json:"state"`
}

// volume is a volume of the pod that gets its contents back before a container of it is restored.
type volume struct {
	Archive string `json:"archive"`
	Target  string `json:"target"`
	Marker  string `json:"marker"`
	Clear   bool   `json:"clear"`
}

// ask gives the node agent's answer, whole and sound, or an error.
func ask(r request) (answer, error) {
	connection, err := send(r, answerTimeout)
	if err != nil {
		return answer{}, err
	}
	defer connection.Close()
	text, err := bufio.NewReader(io.LimitReader(connection, maxAnswerBytes)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return answer{}, fmt.Errorf("the node agent did not finish its answer: %w", err)
	}
	return readAnswer(text)
}

// noteRestored tells the node agent that the processes of the container run, so that it can report that before the
// kubelet does, which looks once a second. What the agent does not hear, it learns from the kubelet.
func noteRestored(r request) {
	r.Event = "restored"
	if connection, err := send(r, noteTimeout); err == nil {
		connection.Close()
	}
}

// send gives the connection on which the request was written.
func send(r request, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	connection, err := (&net.Dialer{Deadline: deadline}).Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the node agent does not answer: %w", err)
	}
	if err := connection.SetDeadline(deadline); err != nil {
		connection.Close()
		return nil, err
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = connection.Write(append(line, '\n'))
	}
	if err != nil {
		connection.Close()
		return nil, fmt.Errorf("the node agent cannot be asked: %w", err)
	}
	return connection, nil
}

func readAnswer(text []byte) (answer, error) {
	var a answer
	if len(bytes.TrimSpace(text)) == 0 {
		return a, errors.New("the node agent gave no answer")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf("the node agent's answer cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return a, errors.New("the node agent's answer has something behind it")
	}
	if a.Version != 1 {
		return a, fmt.Errorf("the node agent speaks version %d, not 1", a.Version)
	}
	switch a.Action {
	case "restore":
		return a, a.checkPaths()
	case "create":
		return a, nil
	case "refuse":
		if a.Message == "" {
			a.Message = "the node agent refused without a reason"
		}
		return a, nil
	}
	return a, fmt.Errorf("the node agent answered %q", a.Action)
}

// checkPaths: all of a restore lies where only root puts it.
func (a answer) checkPaths() error {
	paths := []string{a.ImageDir, a.WorkDir}
	if a.Changes != "" {
		paths = append(paths, a.Changes)
	}
	for _, volume := range a.Volumes {
		paths = append(paths, volume.Archive, volume.Marker)
	}
	if a.Pages != nil {
		paths = append(paths, a.Pages.State)
		if filepath.Dir(a.Pages.Socket) != filepath.Dir(socket) || filepath.Clean(a.Pages.Socket) != a.Pages.Socket {
			return fmt.Errorf("the node agent named %q, which is no socket of its own", a.Pages.Socket)
		}
	}
	for _, path := range paths {
		isOurs := strings.HasPrefix(path, restoreDir+"/") || strings.HasPrefix(path, memoryDir+"/")
		if filepath.Clean(path) != path || !isOurs {
			return fmt.Errorf("the node agent named %q, which is neither below %s nor below %s", path, restoreDir, memoryDir)
		}
	}
	return nil
}
