import type {CatalogueBlob} from './catalogue-items.ts'
import type {Arch} from './types.ts'

export interface BaseUrls {
  /** Helm's own: `https://get.helm.sh`. */
  readonly helm: string
  /** Kubernetes' own binaries: `https://dl.k8s.io`. */
  readonly kubernetes: string
  /** GitHub releases: `https://github.com`. */
  readonly github: string
  /** `https://<host>` of a container registry. */
  readonly registry: (host: string) => string
}

export const publicBaseUrls: BaseUrls = {
  kubernetes: 'https://dl.k8s.io',
  github: 'https://github.com',
  helm: 'https://get.helm.sh',
  // What references name is a web site there.
  registry: (host) => `https://${host === 'docker.io' ? 'registry-1.docker.io' : host}`,
}

/** A published file, where its checksum is published, and what of it is the item. */
export interface ReleaseAsset {
  readonly url: string
  readonly checksumUrl: string
  /** Its name in the checksum file. */
  readonly fileName: string
  /** Paths in the .tar.gz of what the item is; empty: the file itself is the item. */
  readonly members: readonly string[]
}

/** What the projects publish for an item; undefined: nothing that runs on every distribution. */
export function releaseAsset(item: CatalogueBlob, arch: Arch, urls: BaseUrls): ReleaseAsset | undefined {
  const {name, version} = item
  switch (name) {
    case 'kubeadm':
    case 'kubelet':
    case 'kubectl': {
      const url = `${urls.kubernetes}/release/v${version}/bin/linux/${arch}/${name}`
      return {url, checksumUrl: `${url}.sha256`, fileName: name, members: []}
    }
    case 'containerd':
    case 'containerd-shim-runc-v2':
    case 'ctr': {
      const fileName = `containerd-${version}-linux-${arch}.tar.gz`
      const url = `${githubRelease(urls, 'containerd/containerd', version)}/${fileName}`
      return {url, checksumUrl: `${url}.sha256sum`, fileName, members: [`bin/${name}`]}
    }
    case 'runc': {
      const folder = githubRelease(urls, 'opencontainers/runc', version)
      const fileName = `runc.${arch}`
      return {
        url: `${folder}/${fileName}`,
        checksumUrl: `${folder}/runc.sha256sum`,
        fileName,
        members: [],
      }
    }
    case 'cni-plugins': {
      const fileName = `cni-plugins-linux-${arch}-v${version}.tgz`
      const url = `${githubRelease(urls, 'containernetworking/plugins', version)}/${fileName}`
      const members = item.recipe.from === 'go' ? item.recipe.binaries : []
      return {url, checksumUrl: `${url}.sha256`, fileName, members}
    }
    case 'helm': {
      const fileName = `helm-v${version}-linux-${arch}.tar.gz`
      const url = `${urls.helm}/${fileName}`
      return {url, checksumUrl: `${url}.sha256sum`, fileName, members: [`linux-${arch}/helm`]}
    }
    default:
      return undefined
  }
}

function githubRelease(urls: BaseUrls, repository: string, version: string): string {
  return `${urls.github}/${repository}/releases/download/v${version}`
}
