/** A program of Debian packages, with the libraries it loads. */
export interface DebianProgram {
  /** Path in the package, below `/usr` where usr-merged: `usr/sbin/criu`. */
  readonly path: string
  /** Further names it answers to. */
  readonly names?: readonly string[]
}

export interface DebianRecipe {
  readonly from: 'debian'
  /** `stable`: the machine's own suites; `testing`: Debian's testing suite on the same mirror. */
  readonly suite: 'stable' | 'testing'
  readonly packages: readonly string[]
  readonly programs: readonly DebianProgram[]
  /** Folder whose files, one after the other, become a file of an image: the certificates of authorities. */
  readonly joined?: {readonly folder: string; readonly path: string}
  /** Folders of data that an image has as the packages have them. */
  readonly folders?: readonly string[]
  /** Files of an image by path. */
  readonly texts?: Readonly<Record<string, string>>
  /** Folders of plugins that the programs open by name: `usr/lib/<triplet>/xtables`. */
  readonly plugins: readonly string[]
}

/** The oldest version that dumps a process with a TCP socket on a 6.18 kernel is in testing only. */
export const CRIU_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'testing',
  packages: ['criu'],
  programs: [{path: 'usr/sbin/criu'}],
  plugins: [],
}

const NETWORK_PROGRAMS: readonly DebianProgram[] = [
  {
    path: 'usr/sbin/xtables-nft-multi',
    names: [
      'iptables',
      'iptables-save',
      'iptables-restore',
      'ip6tables',
      'ip6tables-save',
      'ip6tables-restore',
    ],
  },
  {path: 'usr/sbin/nft'},
  {path: 'usr/sbin/conntrack'},
  {path: 'usr/bin/ip'},
]
const XTABLES = 'usr/lib/<triplet>/xtables'

export const HOST_TOOLS_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['iptables', 'nftables', 'conntrack', 'iproute2', 'socat', 'ethtool'],
  programs: [...NETWORK_PROGRAMS, {path: 'usr/bin/socat'}, {path: 'usr/sbin/ethtool'}],
  plugins: [XTABLES],
}

/** What kube-proxy, flannel and kube-router call, and a shell for flannel's configuration script and the `shell` image. */
export const IMAGE_TOOLS_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['iptables', 'nftables', 'conntrack', 'iproute2', 'ipset', 'dash', 'coreutils', 'sed', 'grep'],
  programs: [
    ...NETWORK_PROGRAMS,
    {path: 'usr/sbin/ipset'},
    {path: 'usr/bin/dash', names: ['sh']},
    ...['cat', 'chmod', 'cp', 'ln', 'ls', 'mkdir', 'mv', 'rm', 'sleep', 'sync', 'test', 'touch', 'true'].map(
      (name) => ({path: `usr/bin/${name}`}),
    ),
    {path: 'usr/bin/sed'},
    {path: 'usr/bin/grep'},
  ],
  plugins: [XTABLES],
}

const AUTHORITIES = {folder: 'usr/share/ca-certificates/mozilla', path: 'etc/ssl/certs/ca-certificates.crt'}

/** What a static program finds in an image of nothing else: authorities, and the user that it runs as. */
export const AUTHORITIES_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'stable',
  packages: ['ca-certificates'],
  programs: [],
  joined: AUTHORITIES,
  texts: {
    'etc/passwd': 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n',
    'etc/group': 'root:x:0:\nnonroot:x:65532:\n',
  },
  plugins: [],
}

/** What the programs of the cluster run on: Node.js, the parts of its own that Debian keeps apart, and authorities. */
export const NODE_RECIPE: DebianRecipe = {
  from: 'debian',
  suite: 'testing',
  packages: ['nodejs', 'node-acorn', 'node-undici', 'ca-certificates'],
  programs: [
    {path: 'usr/bin/node'},
    {path: 'usr/share/nodejs/acorn/dist/acorn.js'},
    {path: 'usr/share/nodejs/acorn-walk/dist/walk.js'},
    {path: 'usr/share/nodejs/undici/undici-fetch.js'},
  ],
  joined: AUTHORITIES,
  plugins: [],
}
