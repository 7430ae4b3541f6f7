import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {cyclesOf, fileCirclesOf, scopeOf, violationsOf, type Architecture} from '../support/architecture.ts'
import {sourceFiles} from '../support/imports.ts'

const ROOT = join(import.meta.dirname, '../..')

/** The import table of docs/architecture.md as data. A line that goes beyond it says why. */
const ARCHITECTURE: Architecture = {
  arrows: {
    commands: {
      // bundle: its commands have no cluster and so no workflow. hosts: quoting of a line to paste into a shell.
      code: ['cli', 'workflows', 'spec', 'wiring.ts', 'bundle', 'hosts', 'contexts', 'errors.ts'],
      types: ['clouds', 'terraform'],
    },
    cli: {
      // hosts: the redactor and the quoting of words. store: names and paths. spec: flags become a spec here.
      // workflows: the one call that create, setup and init share.
      // contexts: where region and account come from when the spec does not say.
      // cost: words for a sum. checkpoint: what custom resources hold, to show it.
      code: ['wiring.ts', 'errors.ts', 'hosts', 'spec', 'store', 'workflows', 'contexts', 'cost'],
      types: ['engine', 'bundle', 'providers', 'clouds', 'terraform', 'checkpoint'],
    },
    'wiring.ts': {
      code: [
        'engine',
        'hosts',
        'kubernetes',
        'providers',
        'containers',
        'terraform',
        'clouds',
        'contexts',
        'cost',
        'bundle',
        'store',
        'templating',
        'spec',
        'errors.ts',
        'waiting.ts',
      ],
      types: ['workflows'],
    },
    workflows: {
      // kubernetes, kubeadm, checkpoint: the session opens the API, the smoke test moves a process.
      // bundle: names of images. waiting: for what a smoke test makes.
      code: [
        'phases',
        'engine',
        'store',
        'spec',
        'kubernetes',
        'kubeadm',
        'checkpoint',
        'bundle',
        'cost',
        'errors.ts',
        'waiting.ts',
      ],
      types: ['hosts', 'providers', 'templating', 'terraform', 'clouds', 'contexts'],
    },
    phases: {
      // bundle: streams what a host installs. spec: CIDR arithmetic of the preflight checks. checkpoint: its names.
      code: [
        'engine',
        'addons',
        'kubeadm',
        'kubernetes',
        'bundle',
        'checkpoint',
        'templating',
        'spec',
        'errors.ts',
        'waiting.ts',
      ],
      types: ['hosts', 'store'],
    },
    engine: {code: ['errors.ts'], types: ['hosts']},
    // engine: Report, for progress.
    // spec: cluster.yaml says where checkpoints are kept in the same words as a CheckpointStore.
    checkpoint: {
      code: ['durable-files.ts', 'errors.ts', 'hosts', 'waiting.ts', 'spec'],
      types: ['kubernetes', 'bundle'],
    },
    // Starts the two below, in the cluster: their wiring.
    programs: {code: ['node-agent', 'controller', 'checkpoint', 'kubernetes', 'errors.ts'], types: []},
    // Programs of the cluster: they see the API server and what checkpoints are, never hosts, phases or commands.
    'node-agent': {
      code: ['checkpoint', 'kubernetes', 'durable-files.ts', 'errors.ts', 'waiting.ts'],
      types: [],
    },
    controller: {code: ['checkpoint', 'kubernetes', 'errors.ts', 'waiting.ts'], types: []},
    providers: {
      // engine and store: Report and ClusterPaths of the context.
      // clouds: the keys of hosts are read from the cloud itself.
      code: ['spec', 'containers', 'terraform', 'stacks', 'durable-files.ts', 'errors.ts', 'waiting.ts'],
      types: ['engine', 'store', 'clouds', 'templating'],
    },
    // Pure: what a stack is made from, and which nodes and networks a spec means.
    // errors.ts: main.ts tells them by itself, as the CLI is not there.
    stacks: {code: ['spec', 'errors.ts'], types: []},
    terraform: {code: ['durable-files.ts', 'errors.ts', 'waiting.ts'], types: []},
    // spec: CIDR arithmetic, for networks that overlap.
    clouds: {code: ['errors.ts', 'waiting.ts', 'spec'], types: []},
    // What a spec costs. store: prices that were fetched are kept in files.
    cost: {code: ['spec', 'store'], types: ['clouds']},
    // store: files are written atomically there.
    contexts: {code: ['spec', 'store', 'errors.ts'], types: ['clouds']},
    // engine: Report, for progress. templating: the node image's files are rendered.
    containers: {code: ['apt-sources.ts', 'errors.ts', 'waiting.ts'], types: ['engine', 'templating']},
    // apt-sources: packages come from where this machine's apt gets them.
    bundle: {code: ['apt-sources.ts', 'errors.ts', 'waiting.ts'], types: ['spec', 'hosts', 'engine']},
    // checkpoint: its custom resources become definitions.
    addons: {code: ['templating', 'checkpoint', 'errors.ts'], types: ['kubernetes', 'spec']},
    kubernetes: {code: ['errors.ts', 'waiting.ts'], types: []},
    // hosts and kubernetes: facts decide exceptions, tokens become Secrets; types only, so still pure.
    kubeadm: {code: ['errors.ts'], types: ['spec', 'hosts', 'kubernetes']},
    // engine: the journal of a run is kept on the disk and, through Host, on the nodes.
    store: {code: ['spec', 'durable-files.ts', 'errors.ts', 'waiting.ts', 'engine'], types: ['hosts']},
    hosts: {code: ['errors.ts', 'waiting.ts'], types: ['spec']},
    templating: {code: ['errors.ts'], types: []},
    spec: {code: ['errors.ts'], types: []},
    'apt-sources.ts': {code: [], types: []},
    'durable-files.ts': {code: [], types: []},
    'waiting.ts': {code: ['errors.ts'], types: []},
    'errors.ts': {code: [], types: []},
  },
  packages: {
    '@oclif/core': ['src/cli/', 'src/commands/'],
    listr2: ['src/cli/'],
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
    'age-encryption': ['src/checkpoint/sealed/'],
    croner: ['src/programs/controller/'],
    'prom-client': ['src/programs/controller/', 'src/programs/node-agent/'],
    cdktf: ['stacks/'],
    constructs: ['stacks/'],
    '@cdktf/*': ['stacks/'],
    'tar-stream': ['src/bundle/', 'src/infrastructure/containers/', 'src/checkpoint/'],
    yaml: [
      'src/spec/',
      'src/store/',
      'src/kubernetes/',
      'src/bootstrap/kubeadm/',
      'src/bootstrap/phases/',
      'src/platform/addons/',
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
    ],
  },
  sharedByPhases: [
    'artifacts',
    'context',
    'kubeadm-files',
    'control-plane-ready',
    'kubeadm-probe',
    'kubeadm-steps',
    'kubeadm-uploaded',
    'managed-files',
    'node-store',
    'objects',
    'probe',
    'proxy',
  ],
  // They take file paths and the first control plane from it; these belong in kubeadm-probe.ts and context.ts.
  // Handlebars calls them so.
  namedOnPurpose: ['src/bootstrap/templating/helpers.ts'],
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
  expect(cyclesOf(ARCHITECTURE.arrows)).toEqual([])
})

test('every package of the table is a dependency, and every dependency has its place', async () => {
  const {dependencies} = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  // Plugins are named to oclif in package.json, no file imports them.
  const imported = Object.keys(dependencies).filter((name) => !name.startsWith('@oclif/plugin-'))
  const placed = (name: string) => (name in ARCHITECTURE.packages ? name : scopeOf(name))
  // ssh2 comes with node-ssh; what stacks import is bundled when the package is built.
  const besides = ['ssh2', 'cdktf', 'constructs', '@cdktf/*']
  const wanted = new Set([...imported.map(placed), ...besides])
  expect([...wanted].sort()).toEqual(Object.keys(ARCHITECTURE.packages).sort())
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
    /no arrow from engine to phases/,
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
    /only src\/hosts\/ssh-client\.ts may/,
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
  ['a name that says nothing', 'src/hosts/utils.ts', '', /says nothing/],
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
    "import {ClouderError} from '../errors.ts'",
    "import {join} from 'node:path'",
    "import {runSteps} from './steps.ts'",
    '// never sleep() here',
  ].join('\n')
  expect(violationsOf([{path: 'src/bootstrap/engine/run.ts', text}], ARCHITECTURE)).toEqual([])
})

test('the check finds arrows that go in a circle', () => {
  const arrows = {
    a: {code: ['b'], types: []},
    b: {code: [], types: ['c']},
    c: {code: ['a'], types: []},
    d: {code: ['a'], types: []},
  }
  expect(cyclesOf(arrows)).toEqual(['a', 'b', 'c'])
})
