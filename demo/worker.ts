/** One consumer process of the demo. It is going to be killed. */
import { nodeRuntime } from '../src/runtime/node-runtime.ts'
import type { FromWorker, ToWorker, WorkerConfig } from './messages.ts'
import { openApp } from './topology.ts'
import { WorkerState } from './worker-state.ts'

const config = JSON.parse(process.argv[2] ?? '') as WorkerConfig
const state = new WorkerState(config.stateFile)

const { app, broker, consume } = openApp(config, {
  ...nodeRuntime(),
  reached(point) {
    if (broker !== undefined) {
      const { duplicated, redelivered } = broker.counts()
      state.copies(duplicated + redelivered)
    }
    state.reached(point)
  },
})
consume(config.semantics, state)

const started = app.start()
const tell = (message: FromWorker): void => void process.send?.(message)

process.on('message', async (message: ToWorker) => {
  if (message.kind === 'die-at') state.dieAt(message.point, message.passes)
  if (message.kind === 'tell-when-idle') {
    await started
    await app.idle()
    tell({ kind: 'idle' })
  }
  if (message.kind === 'stop') {
    await app.stop()
    state.close()
    process.exit(0)
  }
})
// The terminal sends Ctrl-C to everybody; the parent decides. Without a parent there is nothing to do.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(3))

await started
tell({ kind: 'ready' })
