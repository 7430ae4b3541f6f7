// Command webhook validates and completes the objects of cert-manager for the API server.
package main

import (
	"os/signal"
	"syscall"

	"context"

	"github.com/spf13/pflag"

	"github.com/cert-manager/cert-manager/cmd/flags"
	"github.com/cert-manager/cert-manager/internal/webhook"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/webhook/options"
)

func main() {
	config, err := options.NewWebhookConfiguration()
	flags.Exit(err)
	fs := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	options.AddConfigFlags(fs, config)
	flags.Parse(fs, nil)
	logf.InitLogs()
	defer logf.FlushLogs()
	flags.Exit(logf.ValidateAndApply(&config.Logging))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx = logf.NewContext(ctx, logf.Log, "webhook")
	server, err := webhook.NewCertManagerWebhookServer(logf.FromContext(ctx), *config)
	flags.Exit(err)
	flags.Exit(server.Run(ctx))
}
