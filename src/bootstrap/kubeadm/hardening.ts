import {stringify} from 'yaml'

type Json = Readonly<Record<string, unknown>>

/** What the API server reads beside its flags; one folder, so that a file replaced by rename is seen in its container. */
export const API_SERVER_DIR = '/etc/kubernetes/clouder/apiserver'
/** Made on a control plane, never by clouder: holds the key that Secrets are encrypted with. */
export const ENCRYPTION_PATH = `${API_SERVER_DIR}/encryption.yaml`
export const AUDIT_LOG_DIR = '/var/log/kubernetes/audit'
const CLUSTER_CA = '/etc/kubernetes/pki/ca.crt'

/** TLS 1.3 has its own. Go's secure ones of TLS 1.2 with forward secrecy, by names that Kubernetes and etcd share. */
const CIPHER_SUITES = [
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
] as const

const flags = (values: Readonly<Record<string, string>>): readonly {name: string; value: string}[] =>
  Object.entries(values).map(([name, value]) => ({name, value}))

const served = {
  profiling: 'false',
  'tls-min-version': 'VersionTLS12',
  'tls-cipher-suites': CIPHER_SUITES.join(','),
}

export interface HardeningOptions {
  /** Whether kubelets have serving certificates of the cluster's CA, which somebody must approve. */
  readonly kubeletServingCertificates: boolean
}

/** Flags and volumes of the control plane, as ClusterConfiguration has them. */
export function hardenedControlPlane({kubeletServingCertificates}: HardeningOptions): {
  readonly etcd: Json
  readonly apiServer: Json
  readonly controllerManager: Json
  readonly scheduler: Json
} {
  return {
    etcd: {
      local: {
        dataDir: '/var/lib/etcd',
        extraArgs: flags({'cipher-suites': CIPHER_SUITES.join(','), 'tls-min-version': 'TLS1.2'}),
      },
    },
    apiServer: {
      extraArgs: flags({
        ...served,
        'enable-admission-plugins': 'NodeRestriction,EventRateLimit',
        'admission-control-config-file': `${API_SERVER_DIR}/admission.yaml`,
        'authentication-config': `${API_SERVER_DIR}/authentication.yaml`,
        'encryption-provider-config': ENCRYPTION_PATH,
        'audit-policy-file': `${API_SERVER_DIR}/audit-policy.yaml`,
        'audit-log-path': `${AUDIT_LOG_DIR}/audit.log`,
        // At most 1.1 GB: ten files of 100 MB beside the one that is written.
        'audit-log-maxage': '30',
        'audit-log-maxbackup': '10',
        'audit-log-maxsize': '100',
        ...(kubeletServingCertificates ? {'kubelet-certificate-authority': CLUSTER_CA} : {}),
      }),
      extraVolumes: [
        {
          name: 'clouder',
          hostPath: API_SERVER_DIR,
          mountPath: API_SERVER_DIR,
          readOnly: true,
          pathType: 'Directory',
        },
        {name: 'audit', hostPath: AUDIT_LOG_DIR, mountPath: AUDIT_LOG_DIR, pathType: 'DirectoryOrCreate'},
      ],
    },
    controllerManager: {extraArgs: flags({...served, 'terminated-pod-gc-threshold': '1000'})},
    scheduler: {extraArgs: flags(served)},
  }
}

/** What every kubelet is given beside what it needs. */
export const hardenedKubelet = ({kubeletServingCertificates}: HardeningOptions): Json => ({
  ...(kubeletServingCertificates ? {serverTLSBootstrap: true} : {}),
  tlsMinVersion: 'VersionTLS12',
  tlsCipherSuites: CIPHER_SUITES,
  podPidsLimit: 4096,
})

/** Who did what to which object; never its content, which may be a Secret's. Reads of the system itself are left out. */
const auditPolicy: Json = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  omitManagedFields: true,
  rules: [
    {level: 'Metadata', resources: [{group: '', resources: ['secrets', 'serviceaccounts/token']}]},
    {level: 'None', nonResourceURLs: ['/healthz*', '/livez*', '/readyz*', '/version', '/openapi*']},
    {level: 'None', resources: [{group: '', resources: ['events']}, {group: 'events.k8s.io'}]},
    {
      level: 'None',
      userGroups: ['system:nodes', 'system:serviceaccounts:kube-system'],
      verbs: ['get', 'list', 'watch'],
    },
    {
      level: 'None',
      users: ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler'],
      verbs: ['get', 'list', 'watch'],
    },
    {
      level: 'None',
      userGroups: ['system:nodes', 'system:serviceaccounts'],
      resources: [{group: 'coordination.k8s.io', resources: ['leases']}],
    },
    {level: 'Metadata'},
  ],
}

/** Health is all that nobody in particular may ask for: load balancers and probes do. */
const authentication: Json = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AuthenticationConfiguration',
  anonymous: {enabled: true, conditions: ['/livez', '/readyz', '/healthz'].map((path) => ({path}))},
}

const admission: Json = {
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'AdmissionConfiguration',
  plugins: [
    {
      name: 'PodSecurity',
      configuration: {
        apiVersion: 'pod-security.admission.config.k8s.io/v1',
        kind: 'PodSecurityConfiguration',
        // Told, not refused: what a namespace enforces is for its owner to say.
        defaults: {
          enforce: 'privileged',
          'enforce-version': 'latest',
          audit: 'baseline',
          'audit-version': 'latest',
          warn: 'baseline',
          'warn-version': 'latest',
        },
        exemptions: {usernames: [], runtimeClasses: [], namespaces: []},
      },
    },
    {
      name: 'EventRateLimit',
      configuration: {
        apiVersion: 'eventratelimit.admission.k8s.io/v1alpha1',
        kind: 'Configuration',
        limits: [
          {type: 'Server', qps: 500, burst: 5000},
          {type: 'Namespace', qps: 50, burst: 1000, cacheSize: 2000},
        ],
      },
    },
  ],
}

/** Files that the flags above name, without the one that is made on the node. */
export const apiServerFiles: readonly {readonly path: string; readonly content: string}[] = [
  {path: `${API_SERVER_DIR}/audit-policy.yaml`, content: stringify(auditPolicy).trimEnd()},
  {path: `${API_SERVER_DIR}/authentication.yaml`, content: stringify(authentication).trimEnd()},
  {path: `${API_SERVER_DIR}/admission.yaml`, content: stringify(admission).trimEnd()},
]
