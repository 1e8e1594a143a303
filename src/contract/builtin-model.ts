/** The model that is served where nothing else is asked for; its file ships with the package. */
export const BUILTIN_MODEL_NAME = 'inference-ops-demo';
