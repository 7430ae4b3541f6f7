import {expect, test} from 'vitest'
import {localPathStorageAddon} from '../../../../src/platform/addons/local-path-storage/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const AWS =
  'provider: {kind: aws}, access: {adminCidrs: [203.0.113.7/32]}, addons: {install: [local-path-storage]}'
const objects = renderedBy(localPathStorageAddon)
const classOf = (all: typeof objects) => all.find(({kind}) => kind === 'StorageClass')

test('the objects are as their golden file says', () => {
  expectGolden('local-path-storage', objects)
  // It has no end-point for one.
  expect(faultsOf(localPathStorageAddon, objects)).toEqual([
    'Deployment local-path-provisioner: local-path-provisioner has no readiness probe',
  ])
})

test('the provisioner itself has no rights on its node', () => {
  expect(privilegesOf(objects)).toEqual([])
})

test('it is the default class where no cloud provides one', () => {
  const annotation = 'storageclass.kubernetes.io/is-default-class'
  expect(classOf(objects)?.metadata.annotations?.[annotation]).toBe('true')
  expect(classOf(renderedBy(localPathStorageAddon, {spec: AWS}))?.metadata.annotations?.[annotation]).toBe(
    'false',
  )
})

test('in a cloud it is installed only when it is named', () => {
  const {unavailable} = localPathStorageAddon
  expect(
    unavailable?.(factsOf('provider: {kind: aws}, access: {adminCidrs: [203.0.113.7/32]}').spec),
  ).toContain('provider aws')
  expect(unavailable?.(factsOf(AWS).spec)).toBeUndefined()
  expect(unavailable?.(factsOf().spec)).toBeUndefined()
})

test.for(['data', '/', '/var/lib/../x', '/var/lib/x/'])('path %s is refused', (path) => {
  expect(localPathStorageAddon.schema(factsOf().spec).safeParse({path}).success).toBe(false)
})

test('it is in use while a claim or a volume has its class', async () => {
  const kube = new FakeKube()
  const claimOf = (name: string, storageClassName: string) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {name, namespace: 'shop'},
    spec: {storageClassName},
  })
  kube.put(claimOf('data', 'local-path'))
  kube.put(claimOf('other', 'gp3'))
  expect(await localPathStorageAddon.usedBy?.(kube)).toEqual([
    'PersistentVolumeClaim shop/data uses StorageClass local-path',
  ])
})
