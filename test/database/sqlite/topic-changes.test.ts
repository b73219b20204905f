import { expect, test } from 'vitest'
import { adoptTopic, topic } from '../../../src/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { rejection } from '../../support/until.ts'

interface Step {
  readonly id: string
  readonly key: string
}
const id = (step: Step): string => step.id
const key = (step: Step): string => step.key
const steps = topic<Step>('steps', { partitions: 2, id, key })
const some = (count: number) => Array.from({ length: count }, (_, number) => ({ data: { id: `${number}`, key: `k${number}` } }))

test.each([
  ['partitions', topic<Step>('steps', { partitions: 4, id, key }), 'onefold topic change steps --partitions 4'],
  ['key', topic<Step>('steps', { partitions: 2, id }), 'onefold topic change steps --keyed no'],
  [
    'idReuse',
    topic<Step>('steps', { partitions: 2, id, key, idReuse: 'ignore' }),
    'onefold topic change steps --id-reuse ignore',
  ],
])('%s is fixed: another program is told so at publish and at start, with the command', async (option, changed, command) => {
  const file = new TemporaryFile('')
  await file.app().publish(steps, { id: 'x', key: 'k' })
  const app = file.app()
  app.consume(changed, 'g', () => undefined)
  for (const error of [await rejection(app.publish(changed, { id: 'y', key: 'k' })), await rejection(app.start())]) {
    expect(error).toMatchObject({ code: 'TOPIC_CHANGED', details: { topic: 'steps', option, command } })
    expect(error.message).toContain(command)
  }
  expect(file.column('select id from onefold_log')).toEqual(['x'])
})

test('a rolling deploy with other options than the fixed ones just works, in both directions', async () => {
  const file = new TemporaryFile('')
  const seen: string[] = []
  const versions = [
    steps,
    topic<Step>('steps', { id, key, retentionMs: 60_000, maxDataBytes: 1_000 }),
    topic<Step>('steps', {
      partitions: 2,
      id: (step) => `v3 ${step.id}`,
      key: (step) => `${step.key}!`,
      order: 'key',
      idReuse: 'error',
    }),
    steps,
  ]
  const apps = versions.map((version, index) => {
    const app = file.app()
    app.consume(version, { group: 'g', maxAttempts: index + 1, apply: ({ id: name }) => void seen.push(name) })
    return app
  })
  for (const app of apps) await app.start()
  for (const [index, app] of apps.entries()) await app.publish(versions[index] as typeof steps, { id: `from ${index}`, key: 'k' })
  for (const app of apps) await app.idle()
  expect(seen.toSorted()).toEqual(['from 0', 'from 1', 'from 2', 'from 3'])
})

test('change works once every group has drained: more partitions, keys keep their order', async () => {
  const file = new TemporaryFile('create table effect (id text, key text)')
  const app = file.app()
  app.consume(steps, 'g', ({ id: name, key: lane }, { tx }) => tx.run('insert into effect values (?, ?)', name, lane))
  await app.publishMany(steps, some(20))
  const tool = file.app()
  await app.start()
  await app.idle()
  expect(await rejection(tool.topics.change('steps', { partitions: 4 }))).toMatchObject({ code: 'NOT_POSSIBLE' })
  await app.stop()
  await tool.topics.change('steps', { partitions: 4 })
  const wider = topic<Step>('steps', { partitions: 4, id, key })
  const next = file.app()
  next.consume(wider, 'g', ({ id: name, key: lane }, { tx }) => tx.run('insert into effect values (?, ?)', name, lane))
  await next.start()
  await next.publishMany(wider, [
    ...some(20),
    ...Array.from({ length: 40 }, (_, number) => ({ data: { id: `new ${number}`, key: `k${number % 20}` } })),
  ])
  await next.idle()
  expect(file.column('select count(*) from effect')).toEqual([60])
  expect(file.column<number>("select count(distinct position >> 40) from onefold_log where id like 'new %'")[0]).toBeGreaterThan(
    2,
  )
  for (let lane = 0; lane < 20; lane++)
    expect(file.column('select id from effect where key = ? order by rowid', `k${lane}`)).toEqual([
      `${lane}`,
      `new ${lane}`,
      `new ${lane + 20}`,
    ])
})

test('a publisher that runs while the topic changes goes on, and its messages go where the new ones go', async () => {
  const file = new TemporaryFile('')
  const tool = file.app()
  const running = file.app()
  await running.publish(steps, { id: 'before', key: 'k' })
  await tool.topics.change('steps', { partitions: 16 })
  await running.publishMany(steps, some(60))
  expect(file.column<number>('select count(distinct position >> 40) from onefold_log')[0]).toBeGreaterThan(4)
})

test('parked messages and running consumers stand in the way of a change; an unknown topic and fewer partitions are named', async () => {
  const file = new TemporaryFile('')
  const app = file.app()
  app.consume(steps, {
    group: 'g',
    maxAttempts: 1,
    apply: () => {
      throw new Error('no')
    },
  })
  await app.publish(steps, { id: 'x', key: 'k' })
  await app.start()
  await app.idle()
  await app.stop()
  const tool = file.app()
  expect(await rejection(tool.topics.change('steps', { keyed: false }))).toMatchObject({
    code: 'NOT_POSSIBLE',
    message: expect.stringContaining('parked'),
  })
  await tool.attention.discard((await tool.attention.list())[0]!.id, { by: 'mia', reason: 'test' })
  expect(await rejection(tool.topics.change('steps', { partitions: 1 }))).toMatchObject({
    code: 'OPTION_INVALID',
    details: { option: 'partitions' },
  })
  expect(await rejection(tool.topics.change('steps', { partitions: 257 }))).toMatchObject({ code: 'OPTION_INVALID' })
  expect(await rejection(tool.topics.change('nothing', { partitions: 4 }))).toMatchObject({ code: 'NOT_FOUND' })
  await tool.topics.change('steps', { keyed: false, idReuse: 'ignore' })
  expect((await tool.status()).topics[0]).toMatchObject({ keyed: false, idReuse: 'ignore' })
  await tool.publish(topic<Step>('steps', { id, idReuse: 'ignore' }), { id: 'y', key: 'k' })
})

test('a tool that knows the topic by name only takes what is fixed, and fixes no key', async () => {
  const file = new TemporaryFile('')
  await file.app().publish(adoptTopic('steps'), { id: 'x', key: 'k' }, { id: 'x' })
  expect((await file.app().status()).topics[0]).toMatchObject({ keyed: null })
  await file.app().publish(topic<Step>('steps', { id, key }), { id: 'y', key: 'k' })
  expect((await file.app().status()).topics[0]).toMatchObject({ keyed: true })
  await file.app().publish(adoptTopic('steps'), { id: 'z', key: 'k' }, { id: 'z' })
})
