// Uploads a file with tus-js-client, as its documentation does it under Node.
//
//   node upload.js '{"endpoint", "token", "file", "chunkSize", "metadata", "store"}'
//
// Goes on with an upload of the same file that an earlier run began, as `store` remembers it, and
// says so. Ends with 0 when all was taken.

import fs from "node:fs";
import { FileUrlStorage, Upload } from "tus-js-client";

const told = JSON.parse(process.argv[2]);

const upload = new Upload(fs.createReadStream(told.file), {
  endpoint: told.endpoint,
  headers: { Authorization: `Bearer ${told.token}` },
  metadata: told.metadata,
  chunkSize: told.chunkSize ?? Infinity,
  uploadDataDuringCreation: told.duringCreation ?? false,
  urlStorage: new FileUrlStorage(told.store),
  retryDelays: told.delays ?? Array(50).fill(0),
  onError(error) {
    console.error(error.message);
    process.exitCode = 1;
  },
});

const [earlier] = await upload.findPreviousUploads();
if (earlier) {
  console.log("resumed");
  upload.resumeFromPreviousUpload(earlier);
}
upload.start();
