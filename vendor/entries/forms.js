export { default as Form } from "@rjsf/core/lib/components/Form.js";
export {
  getDefaultFormState,
  toErrorSchema,
  unwrapErrorHandler,
  validationDataMerge,
  createErrorHandler,
} from "@rjsf/utils";
export { Validator } from "@cfworker/json-schema";
