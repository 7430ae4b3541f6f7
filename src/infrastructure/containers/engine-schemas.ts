import {z} from 'zod'
import type {EngineContainer, EngineImage, EngineNetwork, EngineVolume} from './container-engine.ts'

// Go writes an empty map or list as null.
const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {})

const status = z
  .enum(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead', 'unknown'])
  .catch('unknown')

const NEVER = '0001-01-01'

/** Answer of `GET /containers/<id>/json`. */
export const containerSchema = z
  .looseObject({
    Id: z.string(),
    Name: z.string(),
    Config: z.looseObject({Labels: labels}),
    State: z.looseObject({Status: z.string(), StartedAt: z.string(), ExitCode: z.number()}),
    HostConfig: z.looseObject({
      PortBindings: z.record(z.string(), z.array(z.looseObject({HostPort: z.string()})).nullish()).nullish(),
    }),
    Mounts: z.array(z.looseObject({Type: z.string(), Name: z.string().optional()})).nullish(),
    NetworkSettings: z.looseObject({
      Networks: z
        .record(
          z.string(),
          z.looseObject({
            IPAddress: z.string().nullish(),
            IPAMConfig: z.looseObject({IPv4Address: z.string().nullish()}).nullish(),
          }),
        )
        .nullish(),
    }),
  })
  .transform((value): EngineContainer => ({
    id: value.Id,
    name: value.Name.replace(/^\//, ''),
    labels: value.Config.Labels,
    status: status.parse(value.State.Status),
    everStarted: !value.State.StartedAt.startsWith(NEVER),
    exitCode: value.State.ExitCode,
    addresses: Object.fromEntries(
      Object.entries(value.NetworkSettings.Networks ?? {}).map(([name, endpoint]) => [
        name,
        // An empty text is Go's absent.

        endpoint.IPAMConfig?.IPv4Address || endpoint.IPAddress || '',
      ]),
    ),
    publishedPorts: Object.fromEntries(
      Object.entries(value.HostConfig.PortBindings ?? {}).map(([port, bindings]) => [
        Number.parseInt(port, 10),
        Number(bindings?.[0]?.HostPort ?? 0),
      ]),
    ),
    volumes: (value.Mounts ?? []).flatMap((mount) =>
      mount.Type === 'volume' && mount.Name !== undefined ? [mount.Name] : [],
    ),
  }))

/** Answer of `GET /networks/<id>`. */
export const networkSchema = z
  .looseObject({
    Id: z.string(),
    Name: z.string(),
    Labels: labels,
    IPAM: z
      .looseObject({Config: z.array(z.looseObject({Subnet: z.string().optional()})).nullish()})
      .nullish(),
    Containers: z.record(z.string(), z.looseObject({IPv4Address: z.string().nullish()})).nullish(),
  })
  .transform((value): EngineNetwork => ({
    id: value.Id,
    name: value.Name,
    labels: value.Labels,
    subnets: (value.IPAM?.Config ?? []).flatMap(({Subnet}) => (Subnet === undefined ? [] : [Subnet])),
    addressesInUse: Object.values(value.Containers ?? {}).flatMap(({IPv4Address}) => {
      const address = IPv4Address?.split('/')[0]
      return address === undefined || address === '' ? [] : [address]
    }),
  }))

/** Answer of `GET /volumes`. */
export const volumesSchema = z
  .looseObject({Volumes: z.array(z.looseObject({Name: z.string(), Labels: labels})).nullish()})
  .transform((value): readonly EngineVolume[] =>
    (value.Volumes ?? []).map(({Name, Labels}) => ({name: Name, labels: Labels})),
  )

/** Answer of `GET /images/<name>/json`. */
export const imageSchema = z
  .looseObject({
    Id: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Config: z.looseObject({Labels: labels}).nullish(),
  })
  .transform((value): EngineImage => ({
    id: value.Id,
    tags: value.RepoTags ?? [],
    labels: value.Config?.Labels ?? {},
  }))

/** One line of a build's or pull's progress. */
export const progressSchema = z.looseObject({stream: z.string().optional(), status: z.string().optional()})

/** Answer of `GET /version`. */
export const versionSchema = z.looseObject({
  Version: z.string(),
  Components: z.array(z.looseObject({Name: z.string()})).nullish(),
})
