import {expect, test} from 'vitest'
import {fullImageName} from '../../../src/checkpoint/image-name.ts'

test.for<[string, string]>([
  ['redis', 'docker.io/library/redis:latest'],
  ['redis:7', 'docker.io/library/redis:7'],
  ['team/app', 'docker.io/team/app:latest'],
  ['registry.example.com/app', 'registry.example.com/app:latest'],
  ['localhost/app:1', 'localhost/app:1'],
  ['docker.io/redis', 'docker.io/library/redis:latest'],
  ['index.docker.io/redis:7', 'docker.io/library/redis:7'],
  ['index.docker.io/team/app', 'docker.io/team/app:latest'],
  ['Team/app', 'Team/app:latest'],
  ['redis@sha256:00', 'docker.io/library/redis@sha256:00'],
  ['redis:7@sha256:00', 'docker.io/library/redis@sha256:00'],
  ['localhost:5000/a/b:1@sha256:00', 'localhost:5000/a/b@sha256:00'],
  ['localhost:5000/app@sha256:00', 'localhost:5000/app@sha256:00'],
])('%s is kept as %s', ([image, full]) => {
  expect(fullImageName(image)).toBe(full)
})
