// Command acmesolver answers the HTTP challenge of an ACME server.
package main

import (
	"context"
	"errors"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/cert-manager/cert-manager/cmd/flags"
	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

const patience = 10 * time.Second

func main() {
	answers := &solver.HTTP01Solver{}
	fs := pflag.NewFlagSet("acmesolver", pflag.ContinueOnError)
	fs.IntVar(&answers.ListenPort, "listen-port", 8089, "port to listen on")
	fs.StringVar(&answers.Domain, "domain", "", "domain that is to be proved")
	fs.StringVar(&answers.Token, "token", "", "token of the challenge")
	fs.StringVar(&answers.Key, "key", "", "answer to the challenge")
	flags.Parse(fs, nil)
	logf.InitLogs()
	defer logf.FlushLogs()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- answers.Listen(logf.Log.WithName("acmesolver")) }()
	select {
	case err := <-ended:
		flags.Exit(err)
	case <-ctx.Done():
		closing, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := answers.Shutdown(closing); !errors.Is(err, http.ErrServerClosed) {
			flags.Exit(err)
		}
	}
}
