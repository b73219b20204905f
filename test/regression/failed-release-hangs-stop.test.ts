import { expect, test } from 'vitest'
import { prove } from '../../src/testing/index.ts'
import { correctApplications } from '../testing/simulator/support/correct-applications.ts'

/**
 * Two partitions are assigned at once to a process that is told to stop. It gives back the first, and the database refuses; the
 * second was neither handed over nor given back, and stop() waited for it for ever. `prove` found it.
 */
const hangs = '0:1,47:8,77:3'

test('a process stops while it starts, and the release of a fresh partition is refused: it ends, and its work goes on elsewhere', async () => {
  const { application, options } = correctApplications['every commit may fail'] as (typeof correctApplications)[string]
  const { replayed, text } = await prove(application, { ...options, replay: hangs })
  expect(replayed, text).toEqual({ asked: hangs, taken: hangs })
})
