import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Place } from './run-onefold.ts'

async function published(): Promise<Place> {
  const place = new Place()
  place.lines('in.ndjson', [
    { id: '1', key: 'anna', text: 'Pferdekopf' },
    { id: '2', key: 'bert', text: 'nothing' },
    { id: '3', key: 'anna', text: 'Pferdekopf' },
  ])
  await place.onefold('publish orders in.ndjson --id id --key key')
  return place
}

test('onefold erase counts first; with --yes it erases, keeps who and why, and leaves no trace when it rewrites', async () => {
  const place = await published()
  const counted = await place.onefold('erase orders --key anna')
  expect(counted).toMatchObject({ code: 1, stderr: '' })
  expect(counted.stdout).toBe(
    'would erase 2 rows of topic orders\n  2 in the log\nnothing was changed; repeat with --by NAME --yes to erase\n',
  )
  expect((await place.json('erase orders --key anna')).document).toMatchObject({
    topic: 'orders',
    wouldErase: { messages: 2, parked: 0 },
  })

  const erased = await place.onefold([
    'erase',
    'orders',
    '--key',
    'anna',
    '--by',
    'dana',
    '--reason',
    'ticket 77',
    '--rewrite',
    '--yes',
  ])
  expect(erased).toEqual({
    code: 0,
    signal: null,
    stderr: '',
    stdout: 'erased 2 rows of topic orders\n  2 in the log\nthe file holds no trace of it\n',
  })
  expect(readFileSync(place.path('onefold.db')).includes('Pferdekopf')).toBe(false)
  const again = await place.json('erase orders --key anna --by dana --yes')
  expect(again).toMatchObject({ code: 0, document: { topic: 'orders', erased: { messages: 0 }, traces: 'possible' } })
  const consumed = await place.onefold('consume orders --group g --until-idle')
  expect(consumed.stdout.split('\n').filter((line) => line !== '')).toHaveLength(1)
  expect(consumed.stdout).toContain('bert')
  // Published again it is a repeat.
  expect((await place.onefold('publish orders in.ndjson --id id --key key')).stdout).toMatch(/3 duplicates?/)
})

test.each([
  ['erase', 'erase needs a TOPIC'],
  ['erase orders', 'erase needs --key KEY'],
  ['erase orders more --key anna', 'an argument too many'],
  ['erase orders --key anna --yes', 'erase --yes needs --by NAME'],
])('%s: wrong, and nothing is opened', async (line, said) => {
  const place = new Place()
  const { code, stderr } = await place.onefold(line)
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(said) })
  expect(place.has('onefold.db')).toBe(false)
})

test('a topic or file that is not there is said', async () => {
  const place = await published()
  expect((await place.onefold('erase order --key anna --by dana --yes')).stderr).toContain('there is no topic order')
  expect((await place.onefold('erase orders --key anna --db other.db')).stderr).toContain('there is no database at')
})
