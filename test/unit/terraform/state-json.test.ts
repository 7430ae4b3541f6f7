import {expect, test} from 'vitest'
import {idsOf} from '../../../src/terraform/state-json.ts'

test('resources of a state have the ids of the cloud; one without keeps its address', () => {
  const resources = [
    {address: 'aws_s3_bucket.a', values: {id: 'bucket-1', tags: {}}},
    {address: 'terraform_data.b', values: {}},
  ]
  const text = JSON.stringify({format_version: '1.0', values: {root_module: {resources}}})
  expect(idsOf(text, ['terraform_data.b', 'aws_s3_bucket.a'])).toEqual(['terraform_data.b', 'bucket-1'])
  expect(idsOf('{"format_version":"1.0"}', ['aws_vpc.c'])).toEqual(['aws_vpc.c'])
})
