// CRIU cannot dump the MPTCP sockets that Go listens on unless told otherwise (since Go 1.24).
//go:debug multipathtcp=0

// Command smoke is what the smoke test's pods run: a server that holds a token in memory only, and its clients.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	clientTimeout = 5 * time.Second
	countInterval = 200 * time.Millisecond
)

const usage = `usage: smoke serve [ADDRESS [MIB]] | get URL | lookup NAME | sleep
  serve   answer GET / with "token=<hex> count=<n>" on ADDRESS, default :8080, and GET /memory with
          "sha256=<hex> bytes=<n>" of MIB of random bytes that are in memory only, default 0
  get     print what URL answers
  lookup  print the addresses of NAME
  sleep   wait for SIGTERM
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 1 && len(args) <= 3 && args[0] == "serve":
		address, memory := ":8080", []byte{}
		if len(args) >= 2 {
			address = args[1]
		}
		if len(args) == 3 {
			mebibytes, err := strconv.ParseUint(args[2], 10, 14)
			if err != nil {
				return fmt.Errorf("%s is no number of MiB: %w", args[2], err)
			}
			memory = make([]byte, mebibytes<<20)
		}
		return serve(address, memory)
	case len(args) == 2 && args[0] == "get":
		return get(args[1])
	case len(args) == 2 && args[0] == "lookup":
		return lookup(args[1])
	case len(args) == 1 && args[0] == "sleep":
		untilTerminated()
		return nil
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}

func untilTerminated() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
}

func serve(address string, memory []byte) error {
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	if _, err := rand.Read(memory); err != nil {
		return err
	}
	token := hex.EncodeToString(secret)
	var count atomic.Int64
	go func() {
		for range time.Tick(countInterval) {
			count.Add(1)
		}
	}()
	// A process that a checkpoint ends must not wait for its clients.
	go func() {
		untilTerminated()
		os.Exit(0)
	}()
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		// An idle connection kept alive would be an established one in the next checkpoint.
		response.Header().Set("Connection", "close")
		fmt.Fprintf(response, "token=%s count=%d\n", token, count.Load())
	})
	http.HandleFunc("/memory", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Connection", "close")
		fmt.Fprintf(response, "sha256=%x bytes=%d\n", sha256.Sum256(memory), len(memory))
	})
	return http.ListenAndServe(address, nil)
}

func get(url string) error {
	client := http.Client{Timeout: clientTimeout}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

func lookup(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		fmt.Println(address)
	}
	return nil
}
