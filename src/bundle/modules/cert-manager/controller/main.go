// Command controller issues and renews certificates.
package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	logs "k8s.io/component-base/logs/api/v1"

	"github.com/cert-manager/cert-manager/cmd/flags"
	"github.com/cert-manager/cert-manager/internal/apis/config/shared"
	"github.com/cert-manager/cert-manager/pkg/apis/certmanager"
	"github.com/cert-manager/cert-manager/pkg/controller"
	dnsutil "github.com/cert-manager/cert-manager/pkg/issuer/acme/dns/util"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"

	_ "github.com/cert-manager/cert-manager/internal/controller/feature"
)

// settings are what flags decide; the defaults are those of cert-manager.
type settings struct {
	controller.ContextOptions
	election        shared.LeaderElectionConfig
	controllers     []string
	workers         int
	recursiveOnly   bool
	metrics, health string
	features        map[string]bool
	logging         logs.LoggingConfiguration
}

func main() {
	s := defaults()
	fs := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	addFlags(fs, s)
	logf.AddFlags(&s.logging, fs)
	flags.Parse(fs, &s.features)
	s.DNS01CheckAuthoritative = !s.recursiveOnly
	logf.InitLogs()
	defer logf.FlushLogs()
	flags.Exit(logf.ValidateAndApply(&s.logging))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	flags.Exit(run(logf.NewContext(ctx, logf.Log, "controller"), s))
}

func defaults() *settings {
	s := &settings{
		ContextOptions: controller.ContextOptions{
			KubernetesAPIQPS:   20,
			KubernetesAPIBurst: 50,
			ACMEOptions: controller.ACMEOptions{
				HTTP01SolverImage:                 "quay.io/jetstack/cert-manager-acmesolver:" + util.AppVersion,
				HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
				HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
				HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
				HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
				ACMEHTTP01SolverRunAsNonRoot:      true,
				DNS01Nameservers:                  dnsutil.RecursiveNameservers,
				DNS01CheckRetryPeriod:             10 * time.Second,
			},
			IssuerOptions: controller.IssuerOptions{
				ClusterResourceNamespace:        "kube-system",
				ClusterIssuerAmbientCredentials: true,
			},
			IngressShimOptions: controller.IngressShimOptions{
				DefaultIssuerKind:                 "Issuer",
				DefaultIssuerGroup:                certmanager.GroupName,
				DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
			},
			CertificateOptions: controller.CertificateOptions{
				CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
				CertificateRequestMinimumBackoffDuration: time.Hour,
				CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
			},
			SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
		},
		election: shared.LeaderElectionConfig{
			Enabled:       true,
			Namespace:     "kube-system",
			LeaseDuration: time.Minute,
			RenewDeadline: 40 * time.Second,
			RetryPeriod:   15 * time.Second,
		},
		controllers: []string{"*"},
		workers:     5,
		metrics:     "0.0.0.0:9402",
		health:      "0.0.0.0:9403",
	}
	logs.SetRecommendedLoggingConfiguration(&s.logging)
	return s
}

func addFlags(fs *pflag.FlagSet, s *settings) {
	text, list, number, on := fs.StringVar, fs.StringSliceVar, fs.IntVar, fs.BoolVar
	text(&s.Kubeconfig, "kubeconfig", s.Kubeconfig, "kubeconfig to use outside of a cluster")
	text(&s.Namespace, "namespace", s.Namespace, "the only namespace to work in")
	text(&s.ClusterResourceNamespace, "cluster-resource-namespace", s.ClusterResourceNamespace, "namespace of the secrets of ClusterIssuers")
	flags.LeaderElection(fs, &s.election)
	list(&s.controllers, "controllers", s.controllers, "controllers to run; *: all, -name: not this one")
	number(&s.workers, "concurrent-workers", s.workers, "workers of each controller")
	fs.Float32Var(&s.KubernetesAPIQPS, "kube-api-qps", s.KubernetesAPIQPS, "calls per second to the API server")
	number(&s.KubernetesAPIBurst, "kube-api-burst", s.KubernetesAPIBurst, "calls to the API server at once")
	on(&s.EnableOwnerRef, "enable-certificate-owner-ref", s.EnableOwnerRef, "remove a secret with its Certificate")
	on(&s.EnableGatewayAPI, "enable-gateway-api", s.EnableGatewayAPI, "issue certificates for Gateways")
	on(&s.IssuerAmbientCredentials, "issuer-ambient-credentials", s.IssuerAmbientCredentials, "Issuers use the credentials of the machine")
	on(&s.ClusterIssuerAmbientCredentials, "cluster-issuer-ambient-credentials", s.ClusterIssuerAmbientCredentials, "ClusterIssuers use the credentials of the machine")
	text(&s.DefaultIssuerName, "default-issuer-name", s.DefaultIssuerName, "issuer of an Ingress that names none")
	text(&s.DefaultIssuerKind, "default-issuer-kind", s.DefaultIssuerKind, "its kind")
	text(&s.DefaultIssuerGroup, "default-issuer-group", s.DefaultIssuerGroup, "the group of its kind")
	list(&s.DefaultAutoCertificateAnnotations, "auto-certificate-annotations", s.DefaultAutoCertificateAnnotations, "annotations of an Ingress that ask for a certificate")
	text(&s.HTTP01SolverImage, "acme-http01-solver-image", s.HTTP01SolverImage, "image that answers HTTP challenges")
	list(&s.HTTP01SolverNameservers, "acme-http01-solver-nameservers", s.HTTP01SolverNameservers, "name servers of the check before an HTTP challenge")
	list(&s.DNS01Nameservers, "dns01-recursive-nameservers", s.DNS01Nameservers, "name servers of the check before a DNS challenge")
	on(&s.recursiveOnly, "dns01-recursive-nameservers-only", s.recursiveOnly, "ask no other name servers")
	fs.DurationVar(&s.DNS01CheckRetryPeriod, "dns01-check-retry-period", s.DNS01CheckRetryPeriod, "time between two of these checks")
	number(&s.MaxConcurrentChallenges, "max-concurrent-challenges", s.MaxConcurrentChallenges, "challenges at the same time")
	text(&s.metrics, "metrics-listen-address", s.metrics, "address of the metrics")
	text(&s.health, "internal-healthz-listen-address", s.health, "address of /livez")
}
