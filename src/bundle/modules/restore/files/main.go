// Command clouder-files packs files of containers into tars on its standard output, moves dumps from node to node, starts
// programs of its node, and serves memory of containers.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"clouder.dev/bundle/restore/pages"
	"clouder.dev/bundle/restore/transfer"
	"clouder.dev/bundle/restore/tree"
)

// Of its own, so that the node agent tells them from failures.
const (
	exitUnsuited = 3
	exitTooLarge = 4
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	var tooLarge *tree.TooLargeError
	switch {
	case errors.Is(err, tree.ErrUnsuited):
		os.Exit(exitUnsuited)
	case errors.As(err, &tooLarge):
		os.Exit(exitTooLarge)
	}
	os.Exit(1)
}

func run(words []string, out io.Writer) error {
	if len(words) == 0 {
		return errors.New("usage: clouder-files pack-changes --rootfs DIR [--upper DIR] | pack-folder --dir DIR [--max-bytes N] | send-dump --peer PIN --connections N | receive-dump | enter-node -- PROGRAM ARGUMENT... | serve-pages --socket PATH --port N -- RUNC ARGUMENT...")
	}
	switch words[0] {
	case "serve-pages":
		return pages.Serve(words[1:])
	case "enter-node":
		return pages.EnterNode(words[1:])
	}
	flags := flag.NewFlagSet(words[0], flag.ContinueOnError)
	rootfs := flags.String("rootfs", "", "folder where the overlay of a container is mounted")
	upper := flags.String("upper", "", "its upper folder, compared with what the mount tells")
	dir := flags.String("dir", "", "folder to pack")
	maxBytes := flags.Int64("max-bytes", -1, "most bytes of the tar; negative: no bound")
	peer := flags.String("peer", "", "SHA-256 of the public key of the other side")
	connections := flags.Int("connections", 0, "connections that the program was given, from file descriptor 3 on")
	if err := flags.Parse(words[1:]); err != nil {
		return err
	}
	switch words[0] {
	case "pack-changes":
		found, err := tree.UpperOf(*rootfs)
		if err != nil {
			return err
		}
		if *upper != "" && *upper != found {
			return fmt.Errorf("%w: the overlay at %s has the upper folder %s, not %s", tree.ErrUnsuited, *rootfs, found, *upper)
		}
		return tree.PackChanges(out, found, *rootfs)
	case "pack-folder":
		return tree.PackFolder(out, *dir, *maxBytes)
	case "send-dump":
		return sendDump(*connections, *peer, out)
	case "receive-dump":
		if err := endWithParent(); err != nil {
			return err
		}
		return transfer.Receive(os.Stdin, out)
	}
	return fmt.Errorf("%q is no command", words[0])
}
