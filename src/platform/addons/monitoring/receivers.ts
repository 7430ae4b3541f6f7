import {z} from 'zod'

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const name = z.string().regex(DNS_LABEL, {error: 'expected a DNS label'})
const secretKey = z
  .strictObject({name, key: z.string().regex(/^[-._a-zA-Z0-9]+$/)})
  .describe('a key of a Secret in the namespace monitoring')

export const receiverSchema = z
  .strictObject({
    name: name.describe('name of the receiver'),
    severities: z
      .array(z.enum(['critical', 'warning']))
      .min(1)
      .default(['critical', 'warning'])
      .describe('alerts that it gets'),
    webhook: z
      .strictObject({
        url: z
          .url({protocol: /^https?$/})
          .optional()
          .describe('URL without a secret in it'),
        urlSecretRef: secretKey.optional().describe('where the URL is read from'),
      })
      .refine(({url, urlSecretRef}) => (url === undefined) !== (urlSecretRef === undefined), {
        error: 'expected one of url and urlSecretRef',
      })
      .optional()
      .describe('POST of the alerts as JSON'),
    email: z
      .strictObject({
        to: z.email(),
        from: z.email(),
        smarthost: z
          .string()
          .regex(/^[^:\s]+:\d+$/, {error: 'expected host:port'})
          .describe('`host:port` of an SMTP server'),
        username: z.string().optional(),
        passwordSecretRef: secretKey.optional(),
      })
      .optional(),
  })
  .refine(({webhook, email}) => (webhook === undefined) !== (email === undefined), {
    error: 'expected one of webhook and email',
  })
export type Receiver = z.output<typeof receiverSchema>

const SECRETS = '/etc/alertmanager-secrets'
interface SecretKey {
  readonly name: string
  readonly key: string
}
const fileOf = (ref: SecretKey): string => `${SECRETS}/${ref.name}/${ref.key}`

const secretsOf = ({webhook, email}: Receiver): readonly SecretKey[] =>
  [webhook?.urlSecretRef, email?.passwordSecretRef].filter((ref) => ref !== undefined)

/** Secrets that receivers name, as volumes: the configuration holds paths, and never what is in them. */
export function secretVolumes(receivers: readonly Receiver[]) {
  const names = new Set(receivers.flatMap(secretsOf).map((ref) => ref.name))
  return [...names].map((secretName) => ({
    volume: {name: `secret-${secretName}`, secret: {secretName, defaultMode: 0o440}},
    mount: {name: `secret-${secretName}`, mountPath: `${SECRETS}/${secretName}`, readOnly: true},
  }))
}

/** alertmanager.yml as an object. Without receivers, alerts are shown and sent nowhere. */
export const alertmanagerConfig = (receivers: readonly Receiver[]): object => ({
  route: {
    receiver: 'none',
    group_by: ['alertname', 'node', 'namespace'],
    group_wait: '10s',
    group_interval: '1m',
    repeat_interval: '4h',
    routes: receivers.map((receiver) => ({
      receiver: receiver.name,
      matchers: [`severity=~"${receiver.severities.join('|')}"`],
      continue: true,
    })),
  },
  // What a node that is down causes is not reported besides.
  inhibit_rules: [
    {
      source_matchers: ['alertname="NodeDown"'],
      target_matchers: ['alertname=~"TargetDown|KubeletUnreachable|NodeMetricsMissing"'],
      equal: ['node'],
    },
  ],
  receivers: [{name: 'none'}, ...receivers.map(receiverOf)],
})

const receiverOf = ({name: called, webhook, email}: Receiver): object => ({
  name: called,
  ...(webhook === undefined
    ? {}
    : {
        webhook_configs: [
          {
            send_resolved: true,
            ...(webhook.urlSecretRef === undefined
              ? {url: webhook.url}
              : {url_file: fileOf(webhook.urlSecretRef)}),
          },
        ],
      }),
  ...(email === undefined
    ? {}
    : {
        email_configs: [
          {
            send_resolved: true,
            to: email.to,
            from: email.from,
            smarthost: email.smarthost,
            ...(email.username === undefined ? {} : {auth_username: email.username}),
            ...(email.passwordSecretRef === undefined
              ? {}
              : {auth_password_file: fileOf(email.passwordSecretRef)}),
          },
        ],
      }),
})
