# Finds Open MPI: sets MEGALITH_MPI_FOUND and, in words, MEGALITH_MPI_STATE.
#
#   MEGALITH_MPI   AUTO: where libopenmpi-dev is installed; ON: or stop; OFF
set(MEGALITH_MPI AUTO CACHE STRING "Build ranks as processes of MPI: AUTO, ON or OFF")
set_property(CACHE MEGALITH_MPI PROPERTY STRINGS AUTO ON OFF)

set(MEGALITH_MPI_FOUND FALSE)
if(NOT MEGALITH_MPI)
  set(MEGALITH_MPI_STATE "off")
else()
  pkg_check_modules(OPENMPI IMPORTED_TARGET ompi-c)
  if(OPENMPI_FOUND)
    set(MEGALITH_MPI_FOUND TRUE)
    set(MEGALITH_MPI_STATE "Open MPI ${OPENMPI_VERSION}")
  else()
    set(MEGALITH_MPI_STATE "absent: no libopenmpi-dev")
  endif()
endif()
if(MEGALITH_MPI STREQUAL ON AND NOT MEGALITH_MPI_FOUND)
  message(FATAL_ERROR "MEGALITH_MPI=ON, but MPI is ${MEGALITH_MPI_STATE}")
endif()
message(STATUS "MPI: ${MEGALITH_MPI_STATE}")
