import { describe, expect, test } from 'vitest'
import type { OptionSpecs } from '../../src/cli/arguments.ts'
import { readArguments } from '../../src/cli/arguments.ts'

const specs = {
  group: { kind: 'text', value: 'G', help: '' },
  watch: { kind: 'flag', help: '' },
  partitions: { kind: 'integer', min: 1, max: 256, help: '' },
  from: { kind: 'choice', choices: ['earliest', 'latest'], help: '' },
} as const satisfies OptionSpecs

describe('arguments', () => {
  test('are read in any order and either form', () => {
    const { values, positionals } = readArguments(
      ['a', '--group=g', '-', '--partitions', '8', '--watch', 'b', '--from', 'latest'],
      specs,
    )
    expect(values).toEqual({ group: 'g', watch: true, partitions: 8, from: 'latest' })
    expect(positionals).toEqual(['a', '-', 'b'])
  })

  test('what was not given is undefined, a flag false', () => {
    expect(readArguments([], specs)).toEqual({
      values: { group: undefined, watch: false, partitions: undefined, from: undefined },
      positionals: [],
    })
  })

  test('after -- everything is positional; a value may look like an option when written with =', () => {
    expect(readArguments(['--', '--group'], specs).positionals).toEqual(['--group'])
    expect(readArguments(['--group=--json'], specs).values.group).toBe('--json')
  })

  test.each([
    [['--grup', 'x'], 'unknown option --grup; there are: --group --watch --partitions --from'],
    [['-g'], 'unknown option -g'],
    [['--toString'], 'unknown option --toString'],
    [['--group'], '--group needs a value: --group G'],
    [['--group', '--watch'], '--group needs a value, but --watch follows'],
    [['--group='], '--group is empty'],
    [['--group', 'a', '--group', 'b'], '--group is given twice'],
    [['--watch=yes'], '--watch takes no value'],
    [['--partitions', '1.5'], 'a whole number from 1 to 256'],
    [['--partitions', '-5'], 'a whole number from 1 to 256'],
    [['--partitions', '257'], 'a whole number from 1 to 256'],
    [['--partitions', 'many'], 'a whole number from 1 to 256'],
    [['--from', 'here'], 'it must be one of: earliest, latest'],
  ])('%j is refused, naming the option', (argv, message) => {
    expect(() => readArguments(argv, specs)).toThrow(
      expect.objectContaining({ name: 'UsageError', message: expect.stringContaining(message) }),
    )
  })
})
