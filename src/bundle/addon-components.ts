import type {GoComponent} from './go-components.ts'
import {ADDON_PINS} from './pins.ts'

const {
  helm,
  kubeRouter,
  localPathProvisioner,
  metricsServer,
  certManager,
  traefik,
  metallb,
  awsCloudProvider,
} = ADDON_PINS

/** The Go modules of what addons run, and of the programs that install them. */
export function addonComponents(): readonly GoComponent[] {
  return [
    {
      module: 'aws-cloud-provider',
      upstream: `k8s.io/cloud-provider-aws@v${awsCloudProvider}`,
      version: awsCloudProvider,
      packages: {
        'aws-cloud-controller-manager': 'k8s.io/cloud-provider-aws/cmd/aws-cloud-controller-manager',
      },
      variables: {'k8s.io/component-base/version.gitVersion': `v${awsCloudProvider}`},
    },
    {
      module: 'helm',
      upstream: `helm.sh/helm/v4@v${helm}`,
      version: helm,
      packages: {helm: 'helm.sh/helm/v4/cmd/helm'},
      variables: {'helm.sh/helm/v4/internal/version.version': `v${helm}`},
    },
    {
      module: 'kube-router',
      upstream: `github.com/cloudnativelabs/kube-router/v2@v${kubeRouter}`,
      version: kubeRouter,
      packages: {'kube-router': 'github.com/cloudnativelabs/kube-router/v2/cmd/kube-router'},
      variables: {'github.com/cloudnativelabs/kube-router/v2/pkg/version.Version': `v${kubeRouter}`},
    },
    {
      module: 'local-path-provisioner',
      upstream: `github.com/rancher/local-path-provisioner@v${localPathProvisioner}`,
      version: localPathProvisioner,
      packages: {'local-path-provisioner': 'github.com/rancher/local-path-provisioner'},
      variables: {'main.VERSION': `v${localPathProvisioner}`},
    },
    {
      module: 'metrics-server',
      upstream: `sigs.k8s.io/metrics-server@v${metricsServer}`,
      version: metricsServer,
      packages: {'metrics-server': 'sigs.k8s.io/metrics-server/cmd/metrics-server'},
      variables: {'k8s.io/client-go/pkg/version.gitVersion': `v${metricsServer}`},
    },
    {
      module: 'cert-manager',
      upstream: `github.com/cert-manager/cert-manager@v${certManager}`,
      version: certManager,
      // Main packages of our own: those of the project are in modules that are not published.
      packages: Object.fromEntries(
        ['controller', 'webhook', 'cainjector', 'acmesolver'].map((name) => [
          `cert-manager-${name}`,
          `github.com/cert-manager/cert-manager/cmd/${name}`,
        ]),
      ),
      variables: {'github.com/cert-manager/cert-manager/pkg/util.AppVersion': `v${certManager}`},
    },
    {
      module: 'traefik',
      upstream: `github.com/traefik/traefik/v3@v${traefik}`,
      version: traefik,
      packages: {traefik: 'github.com/traefik/traefik/v3/cmd/traefik'},
      variables: {'github.com/traefik/traefik/v3/pkg/version.Version': traefik},
    },
    {
      module: 'metallb',
      upstream: `go.universe.tf/metallb@v${metallb}`,
      version: metallb,
      packages: {
        'metallb-controller': 'go.universe.tf/metallb/controller',
        'metallb-speaker': 'go.universe.tf/metallb/speaker',
      },
      variables: {},
    },
  ]
}
