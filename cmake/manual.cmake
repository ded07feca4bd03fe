# Writes megalith.1 and the completion scripts of bash (megalith) and zsh (_megalith) into FOLDER, as PROGRAM tells them.
cmake_minimum_required(VERSION 3.25)
file(MAKE_DIRECTORY ${FOLDER})
function(write_as name)
  execute_process(COMMAND ${PROGRAM} ${ARGN} OUTPUT_FILE ${FOLDER}/${name} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
write_as(megalith.1 manual)
write_as(megalith completion bash)
write_as(_megalith completion zsh)
