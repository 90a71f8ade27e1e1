// npm scripts find the pinned Node first in PATH; an install with --ignore-scripts leaves it out, silently.
const major = Number(process.versions.node.split('.')[0])
if (major !== 24) {
  console.error(`The tests need Node 24, this is ${process.version}. Run "npm ci" (without --ignore-scripts) first.`)
  process.exit(78)
}
