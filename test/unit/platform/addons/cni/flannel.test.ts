import {expect, test} from 'vitest'
import {flannelObjects} from '../../../../../src/platform/addons/cni/flannel.ts'

/** What containerd and CRI-O load from the folder: https://github.com/containernetworking/cni/blob/main/libcni/conf.go */
const LOADED = /\.(?:conf|conflist|json)$/

test('what is being written of the CNI configuration bears no name that a runtime loads', () => {
  const text = JSON.stringify(
    flannelObjects({
      image: 'flannel:1',
      podCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/12',
      api: 'cp-1:6443',
    }),
  )
  const written = [...text.matchAll(/cat > (\/etc\/cni\/net\.d\/[^ ]+)/g)].map(([, path = '']) => path)
  expect(written).toHaveLength(1)
  expect(written.filter((path) => LOADED.test(path))).toEqual([])
  expect(text).toMatch(new RegExp(`mv -f ${written[0] ?? ''} /etc/cni/net\\.d/10-flannel\\.conflist`))
})
