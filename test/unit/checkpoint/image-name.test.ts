import {expect, test} from 'vitest'
import {fullImageName} from '../../../src/checkpoint/image-name.ts'

test.for<[string, string]>([
  ['redis', 'docker.io/library/redis:latest'],
  ['redis:7', 'docker.io/library/redis:7'],
  ['team/app', 'docker.io/team/app:latest'],
  ['registry.example.com/app', 'registry.example.com/app:latest'],
  ['localhost/app:1', 'localhost/app:1'],
  ['localhost:5000/app@sha256:00', 'localhost:5000/app@sha256:00'],
])('%s is kept as %s', ([image, full]) => {
  expect(fullImageName(image)).toBe(full)
})
