import { expect } from 'vitest'
import { until } from './torture-process.ts'
import type { Scene } from './torture-scene.ts'
import type { WorkerConfig } from './torture-worker.ts'

export const maxCrashes = 3
/** Two ends before anybody is suspected by name, then as many as it may have. */
export const deathsAllowed = 2 + maxCrashes

/** Starts a worker again whenever it has died, until `reached`; then stops the last one. Answers the deaths. */
export async function supervise(
  scene: Scene,
  config: Partial<WorkerConfig>,
  reached: () => Promise<boolean>,
  nodeOptions: readonly string[] = [],
): Promise<string[]> {
  const deaths: string[] = []
  const start = () => scene.start({ role: 'consume', stays: true, batchSize: 20, maxCrashes, ...config }, { nodeOptions })
  let worker = start()
  let dead = false
  const watch = (): void => {
    const watched = worker
    void watched.ended.then(() => {
      dead = watched === worker
    })
  }
  watch()
  await until(
    async () => {
      if (dead) {
        dead = false
        const { code, signal } = await worker.ended
        deaths.push(`${signal ?? code}`)
        worker = start()
        watch()
      }
      return reached()
    },
    () => `after deaths by ${deaths.join(', ')}: ${worker.story()}`,
    30_000,
  )
  expect((await worker.stop()).code, worker.story()).toBe(0)
  return deaths
}
