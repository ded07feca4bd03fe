# Writes app/commit.h with the commit that is being built. Run at build time (cmake -P), because a checkout moves on
# without a new configure; the file is touched only when its text changes.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=10 --exclude=*
  OUTPUT_VARIABLE commit RESULT_VARIABLE result OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT result EQUAL 0 OR commit STREQUAL "")
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define MEGALITH_COMMIT \"@commit@\"\n" @ONLY)
