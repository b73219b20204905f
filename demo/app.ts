/**
 * The demo's app as a module whose default export is the app, for tools that load it without running it:
 *
 *   onefold explain demo/app.ts
 *
 * The workers build theirs from the same topology, each with the folder and the promise it was told.
 */
import { openApp } from './topology.ts'

const { app, consume } = openApp({ topology: 'in-database', place: { engine: 'sqlite', dir: '.' }, seed: 1 })
consume('effectively-once', { handled() {}, reached() {} })

export default app
