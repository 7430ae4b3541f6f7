import {expect, test} from 'vitest'
import {catalogueFor} from '../../../src/bundle/catalogue.ts'
import {publicBaseUrls, releaseAsset} from '../../../src/bundle/release-assets.ts'
import {shownUrl} from '../../../src/bundle/release-http.ts'

test('every published file is asked for where its project publishes it', () => {
  const {files} = catalogueFor('1.35.4')
  const urls = files.flatMap((file) => {
    const asset = releaseAsset(file, 'arm64', publicBaseUrls)
    return asset === undefined ? [] : [[file.name, asset.url, asset.checksumUrl.replace(/.*\//, '')]]
  })
  const kubernetes = 'https://dl.k8s.io/release/v1.35.4/bin/linux/arm64'
  const containerd = 'https://github.com/containerd/containerd/releases/download/v2.3.7'
  const archive = `${containerd}/containerd-2.3.7-linux-arm64.tar.gz`
  const plugins = 'https://github.com/containernetworking/plugins/releases/download/v1.9.1'
  expect(urls).toEqual([
    ...['kubeadm', 'kubelet', 'kubectl'].map((name) => [name, `${kubernetes}/${name}`, `${name}.sha256`]),
    ...['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) => [
      name,
      archive,
      'containerd-2.3.7-linux-arm64.tar.gz.sha256sum',
    ]),
    ['runc', 'https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.arm64', 'runc.sha256sum'],
    [
      'cni-plugins',
      `${plugins}/cni-plugins-linux-arm64-v1.9.1.tgz`,
      'cni-plugins-linux-arm64-v1.9.1.tgz.sha256',
    ],
  ])
})

test('a URL is shown without what could be a secret', () => {
  expect(shownUrl('https://user:secret@example.org/a/b?signature=secret')).toBe('https://example.org/a/b')
})
