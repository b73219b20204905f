import { expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { until } from '../../support/until.ts'

const steps = topic<{ id: string; key: string }>('steps', { partitions: 4, id: (step) => step.id, key: (step) => step.key })

test('ten apps in one process open a new file at once, publish the same and consume: all start, each message is applied once', async () => {
  const file = new TemporaryFile()
  const apps = Array.from({ length: 10 }, () => {
    const app = file.app()
    app.consume(steps, 'g', ({ id }, { tx }) => tx.run('insert into effect values (?, 1)', id))
    return app
  })
  await Promise.all(apps.map((app) => app.start()))
  const receipts = await Promise.all(
    apps.flatMap((app) =>
      Array.from({ length: 30 }, (_, number) => app.publish(steps, { id: `${number}`, key: `k${number % 5}` })),
    ),
  )
  expect(receipts.filter((receipt) => receipt.status === 'accepted')).toHaveLength(30)
  await until(() => file.effects().length === 30, 'all applied')
  await Promise.all(apps.map((app) => app.idle()))
  expect(new Set(file.effects()).size).toBe(30)
  expect(file.column('select count(*) from onefold_owner')).toEqual([10])
  await Promise.all(apps.map((app) => app.stop()))
  expect(file.column('select count(*) from onefold_owner')).toEqual([0])
  expect(file.effects()).toHaveLength(30)
})
