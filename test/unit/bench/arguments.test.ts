import {expect, test} from 'vitest'
import {readArguments} from '../../bench/arguments.ts'

const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'] as const

test.for<[string, ReturnType<typeof readArguments>]>([
  ['', {chosen: all, size: {smallest: false}}],
  ['--smallest', {chosen: all, size: {smallest: true}}],
  ['d', {chosen: ['d'], size: {smallest: false}}],
  ['e --smallest', {chosen: ['e'], size: {smallest: true}}],
  ['a 4', {chosen: ['a'], size: {smallest: false, count: 4}}],
  ['f 2', {chosen: ['f'], size: {smallest: false, count: 2}}],
  ['h 3', {chosen: ['h'], size: {smallest: false, count: 3}}],
  ['g 5', {chosen: ['g'], size: {smallest: false, count: 5}}],
  ['i 2', {chosen: ['i'], size: {smallest: false, count: 2}}],
  ['j 1 512', {chosen: ['j'], size: {smallest: false, count: 1, mebibytes: [512]}}],
  ['i 1 10,4096', {chosen: ['i'], size: {smallest: false, count: 1, mebibytes: [10, 4096]}}],
  ['g 1 10,200', {chosen: ['g'], size: {smallest: false, count: 1, mebibytes: [10, 200]}}],
])('%j', ([words, expected]) => {
  expect(readArguments(words.split(' ').filter((word) => word !== ''))).toEqual(expected)
})

test.for(['z', 'a 0', 'a two', 'b 3', 'g 1 10,', 'a 1 2', '--small'])('%j means nothing', (words) => {
  expect(() => readArguments(words.split(' '))).toThrow(/expected a, b|Unknown option/)
})
