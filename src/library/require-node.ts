/** Says what Node is needed, before anything is loaded that an older one cannot read; so it is imported first. */
const NODE_MAJOR_MIN = 24;

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN)
  throw new Error(
    `open-autoglm needs Node ${NODE_MAJOR_MIN} or later; this is Node ${process.versions.node} (${process.execPath})`,
  );
