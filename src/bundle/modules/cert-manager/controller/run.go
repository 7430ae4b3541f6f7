package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/cert-manager/cert-manager/pkg/controller"
	gateways "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/gateways"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/healthz"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

const (
	lease           = "cert-manager-controller"
	closingPatience = 5 * time.Second
	// How long after its end a lease that is not renewed makes /livez fail.
	healthPatience = 20 * time.Second
)

// run serves metrics and health, and works while it holds the lease, until the context ends.
func run(ctx context.Context, s *settings) error {
	group, ctx := errgroup.WithContext(ctx)
	factory, err := controller.NewContextFactory(ctx, s.ContextOptions)
	if err != nil {
		return err
	}
	base, err := factory.Build()
	if err != nil {
		return err
	}
	metrics, err := net.Listen("tcp", s.metrics)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	health, err := net.Listen("tcp", s.health)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	healthServer := healthz.NewServer(healthPatience)
	group.Go(func() error { return healthServer.Start(ctx, health) })
	work := func(ctx context.Context) error {
		loops, err := loopsOf(s, factory)
		if err != nil {
			return err
		}
		// The collectors of its metrics are set up by the loops.
		group.Go(func() error { return serve(ctx, base.Metrics.NewServer(metrics), metrics) })
		startInformers(ctx, base)
		working, ctx := errgroup.WithContext(ctx)
		for name, loop := range loops {
			working.Go(func() error {
				logf.FromContext(ctx).Info("starting", "controller", name)
				if err := loop.Run(s.workers, ctx); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				return nil
			})
		}
		return working.Wait()
	}
	if !s.election.Enabled {
		group.Go(func() error { return work(ctx) })
		return group.Wait()
	}
	group.Go(func() error { return lead(ctx, s, base, healthServer.LeaderHealthzAdaptor, work) })
	return group.Wait()
}

// lead waits for the lease, works, and gives the lease back.
func lead(
	ctx context.Context,
	s *settings,
	base *controller.Context,
	watchdog *leaderelection.HealthzAdaptor,
	work func(context.Context) error,
) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	election := s.election
	// A lease that is lost ends the program: what it works on may be another's by then.
	leading, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	leaderelection.RunOrDie(leading, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: election.Namespace, Name: lease},
			Client:     base.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "-" + lease, EventRecorder: base.Recorder},
		},
		LeaseDuration:   election.LeaseDuration,
		RenewDeadline:   election.RenewDeadline,
		RetryPeriod:     election.RetryPeriod,
		ReleaseOnCancel: true,
		WatchDog:        watchdog,
		Name:            lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				done <- work(ctx)
				end()
			},
			OnStoppedLeading: func() {},
		},
	})
	select {
	case err := <-done:
		if err != nil || ctx.Err() != nil {
			return err
		}
	default:
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the lease is lost")
}

// loopsOf gives the controllers that the settings ask for.
func loopsOf(s *settings, factory *controller.ContextFactory) (map[string]controller.Interface, error) {
	wanted := sets.New[string]()
	for _, name := range s.controllers {
		switch {
		case name == "*":
			wanted.Insert(usual...)
			if s.EnableGatewayAPI {
				wanted.Insert(gateways.ControllerName)
			}
		case strings.HasPrefix(name, "-"):
			wanted.Delete(name[1:])
		default:
			wanted.Insert(name)
		}
	}
	if s.Namespace != "" {
		wanted.Delete(clusterissuers.ControllerName)
	}
	loops := map[string]controller.Interface{}
	for _, name := range sets.List(wanted) {
		construct, found := controller.Known()[name]
		if !found {
			return nil, fmt.Errorf("there is no controller %q", name)
		}
		loop, err := construct(factory)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		loops[name] = loop
	}
	return loops, nil
}

func startInformers(ctx context.Context, base *controller.Context) {
	base.SharedInformerFactory.Start(ctx.Done())
	base.KubeSharedInformerFactory.Start(ctx.Done())
	base.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	if base.GatewaySolverEnabled {
		base.GWShared.Start(ctx.Done())
	}
}

func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	go func() {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.Background(), closingPatience)
		defer cancel()
		_ = server.Shutdown(closing)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
