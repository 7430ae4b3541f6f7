import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {
  circlesOfTable,
  fileCirclesOf,
  scopeOf,
  unusedArrows,
  violationsOf,
  type Architecture,
} from '../support/architecture.ts'
import {sourceFiles} from '../support/imports.ts'

const ROOT = join(import.meta.dirname, '../..')

/** The import table of docs/architecture.md as data. A line that goes beyond it says why. */
const ARCHITECTURE: Architecture = {
  wings: {
    commands: {
      // bundle: its commands have no cluster and so no workflow.
      code: ['cli', 'workflows', 'wiring.ts', 'bundle', 'infrastructure/contexts', 'spec', 'base'],
      types: [],
    },
    cli: {
      // hosts: how ssh reaches one. store: names and paths. spec: flags become a spec here.
      // contexts: where region and account come from when the spec does not say. cost: words for a sum.
      // bundle: a bundle that has no kubectl is its error. infrastructure: a region that is not set may have a default.
      code: [
        ...[
          'wiring.ts',
          'workflows',
          'bundle/errors.ts',
          'infrastructure/errors.ts',
          'store',
          'spec',
          'base',
        ],
        ...['bootstrap/hosts', 'infrastructure/contexts', 'infrastructure/cost'],
      ],
      types: ['infrastructure', 'bootstrap/engine', 'bundle', 'platform/release', 'platform/graph', 'api'],
    },
    'wiring.ts': {
      code: ['bootstrap', 'infrastructure', 'bundle', 'terraform', 'kubernetes', 'store', 'spec', 'base'],
      types: ['workflows'],
    },
    workflows: {
      // Providers and clouds are given to workflows; of cost they use the arithmetic, and of both the error classes.
      code: [
        ...[
          'bootstrap',
          'platform',
          'checkpoint',
          'bundle',
          'infrastructure/cost',
          'infrastructure/errors.ts',
        ],
        ...['terraform/errors.ts', 'kubernetes', 'store', 'spec', 'api', 'base'],
      ],
      types: ['infrastructure', 'terraform'],
    },
    // platform: init installs the addons without which there is no cluster.
    bootstrap: {code: ['platform', 'bundle', 'kubernetes', 'spec', 'api', 'base'], types: []},
    infrastructure: {code: ['stacks', 'terraform', 'store', 'spec', 'base'], types: []},
    // Pure: what a stack is made from, and which nodes and networks a spec means.
    // base: main.ts tells errors by itself, as the CLI is not there.
    stacks: {code: ['spec', 'base'], types: []},
    // spec: what is in a cloud, and how a file of YAML is read and its problems reported.
    platform: {code: ['kubernetes', 'spec', 'api', 'base'], types: []},
    programs: {code: ['operator', 'checkpoint', 'kubernetes', 'api', 'base'], types: []},
    operator: {code: ['kubernetes', 'api', 'base'], types: []},
    checkpoint: {code: ['registry', 'kubernetes', 'api', 'base'], types: []},
    bundle: {code: ['registry', 'base'], types: []},
    registry: {code: ['base'], types: []},
    terraform: {code: ['base'], types: []},
    store: {code: ['spec', 'base'], types: []},
    kubernetes: {code: ['base'], types: []},
    // api: cluster.yaml says where checkpoints are kept in the same words as a CheckpointStore.
    spec: {code: ['api', 'base'], types: []},
    api: {code: [], types: []},
    base: {code: [], types: []},
  },
  rooms: {
    workflows: {
      session: {
        code: ['bootstrap', 'bundle', 'kubernetes/errors.ts', 'spec', 'base'],
        types: ['infrastructure', 'kubernetes', 'store'],
      },
      checkpoint: {
        code: ['./session', 'checkpoint', 'bundle', 'kubernetes', 'spec', 'api', 'base'],
        types: ['bootstrap', 'store'],
      },
      runtime: {code: ['./checkpoint', 'checkpoint/errors.ts', 'kubernetes', 'api', 'base'], types: []},
      cost: {code: ['infrastructure/cost', 'base'], types: ['./session', 'infrastructure/clouds', 'spec']},
      cluster: {
        code: [
          ...['./session', './checkpoint', './cost', 'bootstrap', 'checkpoint', 'infrastructure/cost'],
          'platform',
          ...['infrastructure/errors.ts', 'terraform/errors.ts'],
          ...['store', 'kubernetes', 'spec', 'api', 'base'],
        ],
        types: ['infrastructure'],
      },
      addon: {
        code: ['./session', './checkpoint', 'bootstrap', 'platform', 'kubernetes', 'spec', 'base'],
        types: ['store'],
      },
      stack: {code: ['./checkpoint', 'platform', 'spec'], types: ['./session', 'kubernetes']},
      infra: {
        code: ['./cost', './cluster', 'infrastructure/errors.ts', 'spec'],
        types: ['./session', 'infrastructure', 'terraform', 'store'],
      },
    },
    bootstrap: {
      phases: {
        // bundle: streams what a host installs.
        code: [
          './errors.ts',
          './engine',
          './kubeadm',
          'platform',
          'bundle',
          'kubernetes',
          'spec',
          'api',
          'base',
        ],
        types: ['./hosts'],
      },
      // Phases see types of hosts only: they cannot open a connection; the engine hands a step its host.
      engine: {code: ['./errors.ts', 'base'], types: ['./hosts']},
      // hosts and kubernetes: facts decide exceptions, tokens become Secrets; types only, so still pure.
      kubeadm: {code: [], types: ['spec', './hosts', 'kubernetes']},
      hosts: {code: ['./errors.ts', 'base'], types: ['spec']},
      'errors.ts': {code: ['base'], types: []},
      templating: {code: [], types: ['base']},
    },
    infrastructure: {
      providers: {
        // clouds: the keys of hosts are read from the cloud itself.
        code: ['./errors.ts', './containers', 'stacks', 'terraform', 'spec', 'base'],
        types: ['./clouds', 'store'],
      },
      clouds: {code: ['./errors.ts', 'base'], types: []},
      containers: {code: ['./errors.ts', 'base'], types: []},
      contexts: {code: ['store', 'spec', 'base'], types: ['./clouds']},
      // What a spec costs.
      cost: {code: ['spec', 'base'], types: ['./clouds']},
      // Terraform: both report what a cloud refuses, with the same codes.
      'errors.ts': {code: ['base'], types: ['terraform']},
    },
    programs: {
      // Start those beside them, each in an image: their wiring.
      'cluster.ts': {code: ['./programs.ts', 'operator'], types: []},
      'programs.ts': {code: ['./node-agent', './controller'], types: ['operator']},
      'threads.ts': {code: ['./node-agent'], types: []},
      // No program imports another: what two of them need stands in operator, api or the wing that it belongs to.
      'node-agent': {code: ['operator', 'checkpoint', 'kubernetes', 'api', 'base'], types: []},
      controller: {code: ['operator', 'checkpoint', 'kubernetes', 'api', 'base'], types: []},
    },
  },
  packages: {
    '@oclif/core': ['src/cli/', 'src/commands/'],
    listr2: ['src/cli/'],
    'string-width': ['src/cli/table.ts'],
    'cli-truncate': ['src/cli/table.ts'],
    semver: ['src/base/versions.ts'],
    'fastest-levenshtein': ['src/cli/'],
    '@inquirer/prompts': ['src/cli/prompts.ts'],
    'node-ssh': ['src/bootstrap/hosts/ssh-client.ts'],
    ssh2: [
      'src/bootstrap/hosts/ssh-client.ts',
      'src/bootstrap/hosts/ssh-keys.ts',
      'src/bootstrap/hosts/ssh-offers.ts',
    ],
    dockerode: ['src/infrastructure/containers/engine.ts'],
    handlebars: ['src/bootstrap/templating/'],
    // Loaded lazily, and only where a cloud is asked something.
    // Stores of checkpoints and the keys that seal them are read by the programs of the cluster, by themselves.
    '@aws-sdk/*': ['src/infrastructure/clouds/', 'src/checkpoint/stores/', 'src/checkpoint/sealed/'],
    '@azure/*': ['src/infrastructure/clouds/', 'src/checkpoint/stores/', 'src/checkpoint/sealed/'],
    // Credentials of kubeconfigs of others. It loads half a second, and only then.
    '@kubernetes/client-node': ['src/kubernetes/foreign-identity.ts'],
    // Of client-node too, so that it costs nothing more.
    'openid-client': ['src/kubernetes/oidc.ts'],
    'age-encryption': ['src/checkpoint/sealed/'],
    croner: ['src/programs/controller/'],
    'prom-client': ['src/operator/', 'src/programs/'],
    cdktf: ['stacks/'],
    constructs: ['stacks/'],
    '@cdktf/*': ['stacks/'],
    'tar-stream': ['src/bundle/', 'src/infrastructure/containers/', 'src/checkpoint/'],
    yaml: [
      'src/bundle/',
      'src/spec/',
      'src/store/',
      'src/kubernetes/',
      'src/bootstrap/kubeadm/',
      'src/bootstrap/phases/',
      'src/platform/addons/',
      'src/platform/charts/',
      'src/platform/graph/',
      // A rule of RBAC that is missing, to be pasted.
      'src/platform/release/',
      'src/cli/',
    ],
    zod: ['src/'],
    // Below the engine nothing may import its fan-out.
    'p-limit': [
      'src/bootstrap/engine/fan-out.ts',
      'src/bundle/',
      'src/infrastructure/containers/',
      'src/infrastructure/providers/',
      'src/bootstrap/hosts/',
      'src/infrastructure/clouds/',
      'src/programs/node-agent/seal.ts',
      'src/checkpoint/stores/',
      'src/platform/release/',
    ],
  },
  sharedByPhases: [
    'addon-releases',
    'artifacts',
    'context',
    'kubeadm-files',
    'control-plane-ready',
    'kubeadm-probe',
    'kubeadm-steps',
    'kubeadm-uploaded',
    'managed-files',
    'node-conditions',
    'node-store',
    'probe',
    'proxy',
  ],
  // Handlebars calls them so; who runs reconcilers has this name wherever controllers are written.
  namedOnPurpose: ['src/bootstrap/templating/helpers.ts', 'src/operator/manager.ts'],
}

const PARTS_OF_THE_DESIGN = ['package.json', 'src', 'templates', 'stacks', 'bin', 'docs', 'test']
const PAGES = ['README.md', 'CONTRIBUTING.md', 'LICENSE', 'AGENTS.md', 'CHANGELOG.md']
/** oclif.manifest.json is made for the package and has to lie beside package.json. */
const CONFIGURATION =
  /^(package-lock\.json|cdktf\.json|oclif\.manifest\.json|tsconfig(\.\w+)?\.json|[\w-]+\.config\.(js|ts))$/

test('src keeps to the import table, the places of packages, and the bans', async () => {
  const files = [...(await sourceFiles(ROOT, 'src')), ...(await sourceFiles(ROOT, 'stacks'))]
  expect(files.length).toBeGreaterThan(50)
  expect(violationsOf(files, ARCHITECTURE)).toEqual([])
})

test('every arrow of the import table is used', async () => {
  const files = [...(await sourceFiles(ROOT, 'src')), ...(await sourceFiles(ROOT, 'stacks'))]
  expect(unusedArrows(files, ARCHITECTURE)).toEqual([])
})

test('the check finds an arrow that nothing uses, and code where types would do', () => {
  const files = [
    {path: 'src/a/one.ts', text: "import {x} from '../b/x.ts'\nimport type {Y} from '../c/in/y.ts'"},
    {path: 'src/d/two/x.ts', text: "import {z} from '../three/z.ts'"},
  ]
  const wings = {a: {code: ['b', 'c/in', 'e'], types: ['c', 'f']}, d: {code: ['a'], types: []}}
  const rooms = {d: {two: {code: ['./three', './four'], types: []}}}
  expect(unusedArrows(files, {wings, rooms})).toEqual([
    'a -> c/in',
    'a -> e',
    'a -> f',
    'd -> a',
    'd/two -> ./four',
  ])
})

test('no files import each other in a circle', async () => {
  const files = [...(await sourceFiles(ROOT, 'src')), ...(await sourceFiles(ROOT, 'stacks'))]
  expect(fileCirclesOf(files)).toEqual([])
})

test('the check finds files that import each other in a circle, by types too', () => {
  const files = [
    {path: 'src/a/one.ts', text: "import {two} from './two.ts'"},
    {path: 'src/a/two.ts', text: "import {three} from '../b/three.ts'\nimport {zod} from 'zod'"},
    {path: 'src/b/three.ts', text: "import type {One} from '../a/one.ts'\nimport {four} from './four.ts'"},
    {path: 'src/b/four.ts', text: "import {join} from 'node:path'"},
    {path: 'src/c/five.ts', text: "const late = await import('./six.ts')\nimport '../b/four.ts'"},
    {path: 'src/c/six.ts', text: "export * from './five.ts'"},
  ]
  expect(fileCirclesOf(files)).toEqual([
    ['src/a/one.ts', 'src/a/two.ts', 'src/b/three.ts'],
    ['src/c/five.ts', 'src/c/six.ts'],
  ])
})

test('the arrows of the import table point down only', () => {
  expect(circlesOfTable(ARCHITECTURE)).toEqual([])
})

test('every package of the table is a dependency or bundled, and every dependency has its place', async () => {
  const {dependencies, devDependencies} = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
    devDependencies: Record<string, string>
  }
  const placed = (name: string) => (name in ARCHITECTURE.packages ? name : scopeOf(name))
  const table = Object.keys(ARCHITECTURE.packages)
  // Plugins are named to oclif in package.json, no file imports them.
  const imported = Object.keys(dependencies).filter((name) => !name.startsWith('@oclif/plugin-'))
  expect(imported.filter((name) => !table.includes(placed(name)))).toEqual([])
  const known = new Set([...imported, ...Object.keys(devDependencies)].map(placed))
  expect(table.filter((name) => !known.has(name))).toEqual([])
})

test('the top level holds what the design names, and nothing else', async () => {
  const ignored = (await readFile(join(ROOT, '.gitignore'), 'utf8'))
    .split('\n')
    .map((line) => line.replaceAll('/', ''))
  const strange = (await readdir(ROOT)).filter(
    (entry) =>
      !entry.startsWith('.') &&
      !ignored.includes(entry) &&
      !PARTS_OF_THE_DESIGN.includes(entry) &&
      !PAGES.includes(entry) &&
      !CONFIGURATION.test(entry),
  )
  expect(strange).toEqual([])
})

const PLANTED: readonly (readonly [string, string, string, RegExp])[] = [
  [
    'an arrow that points up',
    'src/bootstrap/engine/run.ts',
    "import {x} from '../phases/kernel.ts'",
    /no arrow from bootstrap\/engine to phases/,
  ],
  [
    'code where only types may go',
    'src/bootstrap/engine/run.ts',
    "import {x} from '../hosts/ssh.ts'",
    /types of hosts only/,
  ],
  [
    'code beside an inline type',
    'src/bootstrap/engine/run.ts',
    "import {\n  type Host,\n  quote,\n} from '../hosts/host.ts'",
    /types of hosts only/,
  ],
  [
    'a room that reaches further than its wing may',
    'src/bootstrap/phases/cni.ts',
    "import {x} from '../../infrastructure/providers/byon.ts'",
    /no arrow from bootstrap to infrastructure\/providers/,
  ],
  [
    'a room that reaches further than its own line',
    'src/bootstrap/engine/run.ts',
    "import {x} from '../../kubernetes/client.ts'",
    /no arrow from bootstrap\/engine to kubernetes/,
  ],
  [
    'a program that imports another',
    'src/programs/controller/main.ts',
    "import type {X} from '../node-agent/agent.ts'",
    /no arrow from programs\/controller to node-agent/,
  ],
  ['a re-export', 'src/spec/load.ts', "export * from '../store/disk.ts'", /no arrow from spec to store/],
  [
    'a late import',
    'src/spec/load.ts',
    "  const x = await import('../cli/main.ts')",
    /no arrow from spec to cli/,
  ],
  ['an import for its effects', 'src/spec/load.ts', "import '../wiring.ts'", /no arrow from spec to wiring/],
  ['a test imported by src', 'src/spec/load.ts', "import {x} from '../../test/support/x.ts'", /outside src/],
  [
    'a part that is not drawn',
    'src/misc/x.ts',
    "import {x} from '../errors.ts'",
    /no arrows are drawn for misc/,
  ],
  [
    'a second importer of an SDK',
    'src/bootstrap/hosts/shell-host.ts',
    "import {NodeSSH} from 'node-ssh'",
    /only src\/bootstrap\/hosts\/ssh-client\.ts may/,
  ],
  [
    'oclif below the commands',
    'src/workflows/cluster/init.ts',
    "import {ux} from '@oclif/core/ux'",
    /only src\/cli\//,
  ],
  ['a package without a place', 'src/spec/load.ts', "import _ from 'lodash'", /no place is agreed/],
  [
    'a phase that imports a phase',
    'src/bootstrap/phases/cni.ts',
    "import {x} from './kernel.ts'",
    /never import each other/,
  ],
  [
    'a phase that reaches into the folder of another',
    'src/bootstrap/phases/cni.ts',
    "import {x} from './containerd/decide.ts'",
    /never import each other/,
  ],
  ['a name that says nothing', 'src/bootstrap/hosts/utils.ts', '', /says nothing/],
  ['a folder that says nothing', 'src/common/names.ts', '', /says nothing/],
  ['a sleep', 'src/bootstrap/hosts/ssh.ts', '  await sleep(1000)', /sleeps/],
]

for (const [what, path, text, words] of PLANTED) {
  test(`the check finds ${what}`, () => {
    const found = violationsOf([{path, text}], ARCHITECTURE)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(words)
  })
}

test('the check lets pass what is allowed', () => {
  const text = [
    "import type {Host} from '../hosts/host.ts'",
    "import {type Argv, type Script} from '../hosts/host.ts'",
    "import {ClouderError} from '../../base/errors.ts'",
    "import {join} from 'node:path'",
    "import {runSteps} from './steps.ts'",
    '// never sleep() here',
  ].join('\n')
  expect(violationsOf([{path: 'src/bootstrap/engine/run.ts', text}], ARCHITECTURE)).toEqual([])
})

test('the check finds arrows that go in a circle, on both levels', () => {
  const wings = {
    a: {code: ['b/inner'], types: []},
    b: {code: [], types: ['c']},
    c: {code: ['a'], types: []},
    d: {code: ['a'], types: []},
  }
  const rooms = {
    b: {
      one: {code: ['./two'], types: []},
      two: {code: [], types: ['./one']},
      three: {code: ['three', './one'], types: []},
    },
  }
  expect(circlesOfTable({wings, rooms})).toEqual(['a', 'b', 'c', 'b/one', 'b/two'])
})
