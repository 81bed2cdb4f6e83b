// The page: puts its parts together, and asks for a key where the gateway wants one.

import { useKey, whenKeyIsWanted } from "./api.js";
import { byId } from "./dom.js";
import * as hear from "./hear.js";
import * as mesh from "./mesh.js";
import * as speak from "./speak.js";

whenKeyIsWanted((why) => {
  const form = byId("key-wanted");
  if (why) byId("key-why").textContent = why;
  if (!form.hidden) return;
  form.hidden = false;
  byId("key").focus();
});

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  byId("key").value = "";
  byId("key-wanted").hidden = true;
  mesh.look();
});

byId("address").textContent = `${location.origin}/v1`;
hear.setUp(mesh.current);
speak.setUp();
mesh.look();
