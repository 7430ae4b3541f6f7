import fc from 'fast-check'
import {expect, test} from 'vitest'
import {labelValue, objectName, serviceName} from '../../../src/api/object-names.ts'
import {nameFor} from '../../../src/workflows/checkpoint/objects.ts'
import {runsOf} from '../../support/property-runs.ts'

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/
const DNS_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/

/** Names that Kubernetes takes for pods, many of them as long as they may be, with dots and dashes anywhere. */
const podName = fc
  .string({
    unit: fc.constantFrom('a', 'b', '0', '1', '9', '-', '.'),
    minLength: 1,
    maxLength: 253,
    size: 'max',
  })
  .map((text) => {
    const whole = text.replaceAll(/[-.]*\.[-.]*/g, '.').replaceAll(/^[-.]+|[-.]+$/g, '')
    return whole === '' ? 'a' : whole
  })
const digest = fc.stringMatching(/^[0-9a-f]{8}$/)

/** Every way in which we make a name of an object or the value of a label out of somebody else's name. */
const places: readonly {
  readonly what: string
  readonly most: number
  readonly of: (name: string, digest: string) => string
}[] = [
  {what: 'the move of an interruption', most: 63, of: (name, end) => objectName(['interruption', name, end])},
  {what: 'the checkpoint of a move', most: 63, of: (name) => objectName(['move', name])},
  {what: 'the pod of a ReplicaSet', most: 63, of: (name) => objectName([name, '1a2b3'])},
  {what: 'the checkpoint of a policy', most: 63, of: (name, end) => objectName([name, end, '20261121t0914'])},
  {what: 'the pause of a runtime', most: 63, of: (name) => objectName([name, 'p12'])},
  {what: 'a pod that pulls images', most: 63, of: (name) => objectName([name, 'pull'])},
  {what: 'the home of a runtime', most: 253, of: (name) => objectName([name, 'home'], 253)},
  {what: 'an event', most: 253, of: (name, end) => objectName([name, `${end}${end}`], 253)},
  {what: 'the account of a host', most: 253, of: (name) => objectName(['container-host', name], 253)},
  {what: 'an image of a checkpoint', most: 100, of: (name) => objectName([name], 100)},
  {what: 'what a command makes', most: 60, of: (name) => nameFor(name, 0)},
]

test.for(places)('$what has a name that Kubernetes takes, and no two have one', ({most, of}) => {
  fc.assert(
    fc.property(podName, podName, digest, (one, other, end) => {
      const name = of(one, end)
      expect(name).toMatch(SUBDOMAIN)
      expect(name.length).toBeLessThanOrEqual(most)
      expect(of(one, end)).toBe(name)
      if (one !== other) expect(of(other, end)).not.toBe(name)
    }),
    {numRuns: runsOf(300)},
  )
})

test('a label holds every name, and no two names alike', () => {
  fc.assert(
    fc.property(podName, podName, (one, other) => {
      expect(labelValue(one)).toMatch(LABEL_VALUE)
      expect(labelValue(one).length).toBeLessThanOrEqual(63)
      if (one !== other) expect(labelValue(other)).not.toBe(labelValue(one))
    }),
    {numRuns: runsOf(1000)},
  )
})

test('a Service has a name of the DNS for every name, and no two names alike', () => {
  fc.assert(
    fc.property(podName, podName, (one, other) => {
      expect(serviceName(one)).toMatch(DNS_1035)
      expect(serviceName(one).length).toBeLessThanOrEqual(63)
      if (one !== other) expect(serviceName(other)).not.toBe(serviceName(one))
    }),
    {numRuns: runsOf(1000)},
  )
})
