// Command cainjector writes certificates of authorities into webhooks, API services and definitions that ask for them.
package main

import (
	"fmt"

	"github.com/spf13/pflag"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/cert-manager/cert-manager/cmd/flags"
	config "github.com/cert-manager/cert-manager/internal/apis/config/cainjector"
	"github.com/cert-manager/cert-manager/internal/apis/config/cainjector/scheme"
	cm "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	published "github.com/cert-manager/cert-manager/pkg/apis/config/cainjector/v1alpha1"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"

	_ "github.com/cert-manager/cert-manager/internal/cainjector/feature"
)

const lease = "cert-manager-cainjector-leader-election"

func main() {
	c, err := defaults()
	flags.Exit(err)
	fs := pflag.NewFlagSet("cainjector", pflag.ContinueOnError)
	fs.StringVar(&c.KubeConfig, "kubeconfig", c.KubeConfig, "kubeconfig to use outside of a cluster")
	fs.StringVar(&c.Namespace, "namespace", c.Namespace, "the only namespace whose secrets are used")
	fs.BoolVar(&c.EnableDataSourceConfig.Certificates, "enable-certificates-data-source", c.EnableDataSourceConfig.Certificates, "take authorities of Certificates")
	fs.StringVar(&c.MetricsListenAddress, "metrics-listen-address", c.MetricsListenAddress, "address of the metrics; 0: none")
	flags.LeaderElection(fs, &c.LeaderElectionConfig)
	logf.AddFlags(&c.Logging, fs)
	flags.Parse(fs, &c.FeatureGates)
	logf.InitLogs()
	defer logf.FlushLogs()
	flags.Exit(logf.ValidateAndApply(&c.Logging))
	flags.Exit(run(c))
}

func defaults() (*config.CAInjectorConfiguration, error) {
	types, _, err := scheme.NewSchemeAndCodecs()
	if err != nil {
		return nil, err
	}
	given, c := &published.CAInjectorConfiguration{}, &config.CAInjectorConfiguration{}
	types.Default(given)
	return c, types.Convert(given, c, nil)
}

func run(c *config.CAInjectorConfiguration) error {
	ctrl.SetLogger(logf.Log)
	access, err := clientConfig(c.KubeConfig)
	if err != nil {
		return err
	}
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, admissionregistration.AddToScheme, apiextensions.AddToScheme, apiregistration.AddToScheme, cm.AddToScheme,
	} {
		if err := add(types); err != nil {
			return err
		}
	}
	election := c.LeaderElectionConfig
	options := ctrl.Options{
		Scheme:                        types,
		Metrics:                       server.Options{BindAddress: c.MetricsListenAddress},
		LeaderElection:                election.Enabled,
		LeaderElectionNamespace:       election.Namespace,
		LeaderElectionID:              lease,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &election.LeaseDuration,
		RenewDeadline:                 &election.RenewDeadline,
		RetryPeriod:                   &election.RetryPeriod,
		// Their contents are read when they are needed; only that they changed is watched.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&core.Secret{}}}},
	}
	if c.Namespace != "" {
		options.Cache.DefaultNamespaces = map[string]cache.Config{c.Namespace: {}}
	}
	manager, err := ctrl.NewManager(util.RestConfigWithUserAgent(access, "cainjector"), options)
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	inject := c.EnableInjectableConfig
	setup := cainjector.SetupOptions{
		Namespace:                    c.Namespace,
		IgnoreNamespaces:             c.IgnoreNamespaces,
		EnableCertificatesDataSource: c.EnableDataSourceConfig.Certificates,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   inject.MutatingWebhookConfigurations,
			cainjector.ValidatingWebhookConfigurationName: inject.ValidatingWebhookConfigurations,
			cainjector.APIServiceName:                     inject.APIServices,
			cainjector.CustomResourceDefinitionName:       inject.CustomResourceDefinitions,
		},
	}
	if err := cainjector.RegisterAllInjectors(ctx, manager, setup); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	return manager.Start(ctx)
}

func clientConfig(path string) (*rest.Config, error) {
	if path == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", path)
}
