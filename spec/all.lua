-- The spec files, in the order they run in: module_spec goes first because it
-- looks at a state in which nothing is loaded yet.
return {
   "module_spec",
   "queue_spec",
   "ctx_spec",
   "connection_spec",
   "connection_end_spec",
   "channel_open_spec",
   "channel_spec",
   "channel_close_spec",
   "answers_spec",
   "frame_spec",
   "attributes_spec",
   "pool_spec",
   "handlers_spec",
   "each_handler_spec",
   "outlived_spec",
   "blocking_spec",
   "loop_spec",
   "misuse_spec",
   "odd_objects_spec",
   "wild_spec",
   "contract_spec",
   "documented_spec",
   "faults_spec",
   "load_spec"
}
